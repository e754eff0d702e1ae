//! The contract in `wit/`: it parses, says what everything in it is for, and holds WASI as the engine has it.

use host_testing::repository;
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use wit_parser::{Docs, PackageId, Resolve, TypeDefKind, WorldItem};

fn contract() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(repository().join("wit")).unwrap_or_else(|error| panic!("{error:#}"));
    (resolve, package)
}

/// Where cargo keeps the source of the crate `name` of the lock file.
fn source_of(name: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Of what only other systems need nothing may have been downloaded.
    let platform = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let output = Command::new(&cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &platform])
        .current_dir(repository())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", cargo.display()));
    assert!(output.status.success(), "`cargo metadata` failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().expect("`cargo metadata` tells of packages");
    let manifests: Vec<&str> = packages
        .iter()
        .filter(|package| package["name"] == name)
        .map(|package| package["manifest_path"].as_str().expect("a package has a manifest"))
        .collect();
    let [manifest] = manifests.as_slice() else {
        panic!("Cargo.lock must have `{name}` once, but cargo finds {manifests:?}");
    };
    Path::new(manifest).parent().unwrap().to_owned()
}

/// The files of a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    let files = entries.map(|entry| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
    });
    files.collect()
}

#[test]
fn the_vendored_wasi_is_byte_for_byte_that_of_the_engine_s_crates() {
    let http = source_of("wasmtime-wasi-http");
    // The HTTP crate has a copy of all the others that it needs.
    for (source, copy) in [("wit/deps", "wit/deps"), ("src/p3/wit/deps", "plugins/probes/network-p3/wit/deps")] {
        let source = http.join(source);
        let (theirs, ours) = (files(&source), files(&repository().join(copy)));
        assert!(!theirs.is_empty(), "{} is empty", source.display());
        let how = format!("copy {}/*.wit to {copy}/", source.display());
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{how}");
        for (name, text) in &theirs {
            assert!(ours[name] == *text, "{copy}/{name} differs; {how}");
        }
    }
    let own = files(&source_of("wasmtime-wasi").join("src/p2/wit/deps"));
    assert!(!own.is_empty() && own.iter().all(|(name, text)| files(&repository().join("wit/deps"))[name] == *text));
}

#[test]
fn the_contract_parses_and_has_its_worlds() {
    let (resolve, package) = contract();
    let package = &resolve.packages[package];
    assert_eq!(package.name.to_string(), "scenario:host@0.1.0");
    let worlds: Vec<&str> = package.worlds.keys().map(String::as_str).collect();
    assert_eq!(worlds, ["plugin", "plugin-wasi"]);
    let interfaces: Vec<&str> = package.interfaces.keys().map(String::as_str).collect();
    assert!(["agent", "report", "scenarios"].iter().all(|name| interfaces.contains(name)), "{interfaces:?}");
    let plugin = &resolve.worlds[package.worlds["plugin"]];
    let names = |items: Vec<&WorldItem>| -> Vec<String> {
        let names = items.into_iter().filter_map(|item| match item {
            WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.clone(),
            WorldItem::Function(function) => Some(function.name.clone()),
            WorldItem::Type { .. } => None,
        });
        names.collect()
    };
    assert_eq!(names(plugin.exports.values().collect()), ["scenarios"]);
    let imports = names(plugin.imports.values().collect());
    assert!(["agent", "report"].iter().all(|name| imports.iter().any(|import| import == name)), "{imports:?}");
}

/// The items of `package` that say nothing of themselves.
fn undocumented(resolve: &Resolve, package: PackageId) -> Vec<String> {
    let mut silent = Vec::new();
    let mut must_say = |docs: &Docs, item: String| {
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            silent.push(item);
        }
    };
    let package = &resolve.packages[package];
    must_say(&package.docs, package.name.to_string());
    for (name, world) in &package.worlds {
        must_say(&resolve.worlds[*world].docs, format!("world {name}"));
    }
    for (interface, id) in &package.interfaces {
        let of = &resolve.interfaces[*id];
        must_say(&of.docs, format!("interface {interface}"));
        for (name, function) in &of.functions {
            must_say(&function.docs, format!("{interface}.{name}"));
        }
        for (name, id) in &of.types {
            let ty = &resolve.types[*id];
            let item = format!("{interface}.{name}");
            let members: Vec<(&str, &Docs)> = match &ty.kind {
                // Another interface's type under its name: that says what it is.
                TypeDefKind::Type(_) => continue,
                TypeDefKind::Record(record) => {
                    record.fields.iter().map(|field| (field.name.as_str(), &field.docs)).collect()
                }
                TypeDefKind::Variant(variant) => {
                    variant.cases.iter().map(|case| (case.name.as_str(), &case.docs)).collect()
                }
                TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| (case.name.as_str(), &case.docs)).collect(),
                TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| (flag.name.as_str(), &flag.docs)).collect(),
                _ => Vec::new(),
            };
            must_say(&ty.docs, item.clone());
            for (member, docs) in members {
                must_say(docs, format!("{item}.{member}"));
            }
        }
    }
    silent
}

#[test]
fn everything_in_the_contract_is_documented() {
    let (resolve, package) = contract();
    assert_eq!(undocumented(&resolve, package), Vec::<String>::new(), "add a `///` comment to each in wit/*.wit");
}

#[test]
fn the_check_of_the_documentation_finds_what_is_missing() {
    let text = "package a:b; interface i { record r { x: u8, /// said\n y: u8 } variant v { c } enum e { d } \
                resource s { f: func(); } g: func(); } world w {}";
    let mut resolve = Resolve::default();
    let package = resolve.push_str("made-up.wit", text).unwrap();
    let silent = undocumented(&resolve, package);
    for item in
        ["a:b", "world w", "interface i", "i.r", "i.r.x", "i.v", "i.v.c", "i.e.d", "i.s", "i.[method]s.f", "i.g"]
    {
        assert!(silent.iter().any(|name| name == item), "{item} is missing in {silent:?}");
    }
    assert!(!silent.contains(&"i.r.y".to_owned()), "{silent:?}");
}
