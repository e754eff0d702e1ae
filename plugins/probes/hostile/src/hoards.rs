//! Taking without an end.

use std::{
    fs::{self, File},
    mem, thread,
    time::Duration,
};

use probe_raw::{
    filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags},
    preopen,
};
use scenario_sdk::{Outcome, Verdict};

const MIB: usize = 1 << 20;

pub(crate) fn memory() -> Outcome {
    loop {
        mem::forget(vec![1_u8; MIB]);
    }
}

pub(crate) fn handles() -> Outcome {
    loop {
        mem::forget(File::create("/file").expect("the host ends it before it refuses"));
    }
}

/// What the test's limit is well below. It waits to be stopped once it has written so much.
const DISK: usize = 32;

pub(crate) fn disk() -> Outcome {
    for number in 0..DISK {
        fs::write(format!("/host/config/{number}"), vec![1_u8; MIB]).expect("it may write");
    }
    wait_to_be_stopped()
}

pub(crate) fn empty_files() -> Outcome {
    for number in 0..4_000 {
        File::create(format!("/{number}")).expect("it may make files");
    }
    wait_to_be_stopped()
}

fn wait_to_be_stopped() -> ! {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// Makes folders within one another below the root and returns the last.
fn descend(depth: usize) -> Descriptor {
    let mut folder = preopen("/");
    for _ in 0..depth {
        folder.create_directory_at("d").expect("it may make folders");
        folder = folder
            .open_at(
                PathFlags::empty(),
                "d",
                OpenFlags::DIRECTORY,
                DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
            )
            .expect("it may open its folders");
    }
    folder
}

pub(crate) fn buried() -> Outcome {
    // A path of more than 4,096 bytes cannot be given to the system as a whole.
    let file = descend(2_500)
        .open_at(PathFlags::empty(), "file", OpenFlags::CREATE, DescriptorFlags::WRITE)
        .expect("it may make files");
    for number in 0..DISK {
        file.write(&vec![1_u8; MIB], (number * MIB) as u64).expect("it may write");
    }
    wait_to_be_stopped()
}

pub(crate) fn deep_folders() -> Outcome {
    drop(descend(30_000));
    Ok(Verdict::Pass)
}
