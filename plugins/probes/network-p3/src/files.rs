//! Calls of `wasi:filesystem` in the directory `/`.

use crate::wasi::filesystem::{
    preopens::get_directories,
    types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags},
};

fn root() -> Descriptor {
    get_directories().into_iter().find_map(|(directory, name)| (name == "/").then_some(directory)).expect("a root")
}

async fn open(path: &str, flags: OpenFlags) -> Result<Descriptor, String> {
    let root = root();
    let opened = root.open_at(PathFlags::SYMLINK_FOLLOW, path.to_owned(), flags, DescriptorFlags::READ);
    opened.await.map_err(|error| format!("{error:?}"))
}

/// The names in a folder, in order.
pub(crate) async fn list(folder: &str) -> Result<String, String> {
    let (entries, ended) = open(folder, OpenFlags::DIRECTORY).await?.read_directory();
    let mut names: Vec<String> = entries.collect().await.into_iter().map(|entry| entry.name).collect();
    ended.await.map_err(|error| format!("{error:?}"))?;
    names.sort();
    Ok(names.join(" "))
}

/// The text of a file.
pub(crate) async fn read(path: &str) -> Result<String, String> {
    let (bytes, ended) = open(path, OpenFlags::empty()).await?.read_via_stream(0);
    let bytes = bytes.collect().await;
    ended.await.map_err(|error| format!("{error:?}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What is at a path.
pub(crate) async fn kind(path: &str) -> Result<String, String> {
    let stat = root().stat_at(PathFlags::empty(), path.to_owned()).await.map_err(|error| format!("{error:?}"))?;
    Ok(format!("{:?}", stat.type_))
}

/// Begins so many listings, reads one entry of each, and then a file.
pub(crate) async fn hold_listings(count: usize) -> Result<String, String> {
    let root = root();
    let mut held = Vec::new();
    for _ in 0..count {
        let (mut entries, ended) = root.read_directory();
        entries.next().await.ok_or("no entry")?;
        held.push((entries, ended));
    }
    read("file").await
}
