//! Components that no compiler would make, out of WebAssembly text.

use std::path::Path;

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::repository;

/// A scenario as a handmade plugin lists it.
#[derive(Clone, Default)]
pub struct Listed<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its summary.
    pub summary: &'a str,
    /// The grants it needs.
    pub needs: &'a [&'a str],
    /// The codes of its clauses.
    pub codes: &'a [&'a str],
}

/// A core module of the world `scenario:host/plugin` that lists `listed`. `list` is executed before it does, `run` by
/// every scenario before it passes; `fields` are further fields of the module.
pub fn typed_module(listed: &[Listed<'_>], list: &str, run: &str, fields: &str) -> Vec<u8> {
    let wit = repository().join("wit");
    typed_module_of(&wit, listed, list, run, fields)
}

/// The same of the contract in `wit`, a file or a folder.
pub fn typed_module_of(wit: &Path, listed: &[Listed<'_>], list: &str, run: &str, fields: &str) -> Vec<u8> {
    let mut module = bare_typed_module(listed, list, run, fields);
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// The same with `imports` of the packages in `wit`, which has a world `plugin` in a package `test:guest`.
pub fn typed_module_importing(wit: &str, listed: &[Listed<'_>], imports: &str, list: &str) -> Vec<u8> {
    let mut module = bare_typed_module_importing(listed, imports, list, "", "");
    let mut resolve = Resolve::default();
    resolve.push_path(repository().join("wit")).unwrap();
    let package = resolve.push_str("guest.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// The same without the world: only its exports tell what it is.
pub fn bare_typed_module(listed: &[Listed<'_>], list: &str, run: &str, fields: &str) -> Vec<u8> {
    bare_typed_module_importing(listed, "", list, run, fields)
}

/// The same with imports.
pub fn bare_typed_module_importing(
    listed: &[Listed<'_>],
    imports: &str,
    list: &str,
    run: &str,
    fields: &str,
) -> Vec<u8> {
    let mut memory = Memory { base: 4096, bytes: Vec::new() };
    let records: Vec<u32> = listed.iter().flat_map(|scenario| memory.scenario(scenario)).collect();
    let header = memory.list_of(&records, listed.len());
    let header = memory.words(&header);
    let (base, data, pages) = (memory.base, memory.data(), 1 + memory.bytes.len() / 65536);
    let text = format!(
        "(module
            {imports}
            (memory (export \"memory\") {pages})
            (data (i32.const {base}) \"{data}\")
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export \"scenario:host/scenarios@0.1.0#list\") (result i32) {list} (i32.const {header}))
            (func (export \"scenario:host/scenarios@0.1.0#run\") (param i32 i32) (result i32) {run} (i32.const 16))
            {fields})"
    );
    wat::parse_str(&text).unwrap()
}

/// A WASI 0.1 command that executes `start`. `$proc_exit`, `$fd_write` and the memory are there to be used.
pub fn plain_module(start: &str, fields: &str) -> Vec<u8> {
    let text = format!(
        "(module
            (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $proc_exit (param i32)))
            (import \"wasi_snapshot_preview1\" \"fd_write\" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export \"memory\") 1)
            (func (export \"_start\") {start})
            {fields})"
    );
    wat::parse_str(&text).unwrap()
}

/// Lays out values as the canonical ABI wants them.
struct Memory {
    base: u32,
    bytes: Vec<u8>,
}

impl Memory {
    /// Name, summary, tags, needs and clauses, each as address and length.
    fn scenario(&mut self, scenario: &Listed<'_>) -> Vec<u32> {
        let needs: Vec<u32> = scenario.needs.iter().flat_map(|need| self.text(need)).collect();
        let clauses: Vec<u32> =
            scenario.codes.iter().flat_map(|code| [self.text(code), self.text("")].concat()).collect();
        let mut record = [self.text(scenario.name), self.text(scenario.summary)].concat();
        record.extend(self.list_of(&[], 0));
        record.extend(self.list_of(&needs, scenario.needs.len()));
        record.extend(self.list_of(&clauses, scenario.codes.len()));
        record
    }

    fn text(&mut self, text: &str) -> [u32; 2] {
        let address = self.end();
        self.bytes.extend(text.bytes());
        [address, text.len().try_into().unwrap()]
    }

    fn list_of(&mut self, words: &[u32], length: usize) -> [u32; 2] {
        [self.words(words), length.try_into().unwrap()]
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let address = self.end();
        self.bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        address
    }

    fn end(&self) -> u32 {
        self.base + u32::try_from(self.bytes.len()).unwrap()
    }

    fn data(&self) -> String {
        self.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
    }
}
