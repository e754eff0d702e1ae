//! `docs/reference/world.md` matches `wit/`. `UPDATE_WORLD=1 cargo test --test it world_reference` writes it again.

use host_testing::repository;
use std::{fmt::Write as _, fs};

use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeOwner, WorldItem,
};

const HEAD: &str = "# The world `scenario:host/plugin`

Every interface, type and function of the contract. This page is generated from the files in
[`wit/`](../../wit/world.wit) by the test `world_reference`; do not edit it. [The contract](../explanation/contract.md)
explains how the parts work together, which bounds apply, and how versions evolve.
";

#[test]
fn the_reference_matches_the_contract() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(repository().join("wit")).unwrap();
    let mut text = HEAD.to_owned();
    let package = &resolve.packages[package];
    write!(text, "\nPackage `{}`. {}\n", package.name, words(&package.docs)).unwrap();
    for world in package.worlds.values().map(|id| &resolve.worlds[*id]) {
        write!(text, "\n## World `{}`\n\n{}\n", world.name, words(&world.docs)).unwrap();
        if !world.includes.is_empty() || world.name != "plugin" {
            continue;
        }
        for (verb, items) in [("imports", &world.imports), ("exports", &world.exports)] {
            for item in items.values() {
                let WorldItem::Interface { id, .. } = item else { continue };
                let name = resolve.interfaces[*id].name.as_deref().unwrap();
                write!(text, "\n- {verb} [`{name}`](#interface-{name})").unwrap();
            }
        }
        text.push('\n');
    }
    for interface in package.interfaces.values().map(|id| &resolve.interfaces[*id]) {
        tell_interface(&resolve, interface, &mut text);
    }
    let file = repository().join("docs/reference/world.md");
    if std::env::var_os("UPDATE_WORLD").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == text,
        "docs/reference/world.md does not match wit/: UPDATE_WORLD=1 cargo test --test it world_reference"
    );
}

fn tell_interface(resolve: &Resolve, interface: &Interface, text: &mut String) {
    let name = interface.name.as_deref().unwrap();
    write!(text, "\n## Interface `{name}`\n\n{}\n", words(&interface.docs)).unwrap();
    for (function, it) in interface.functions.iter().filter(|(_, it)| it.kind == FunctionKind::Freestanding) {
        write!(text, "\n### `{function}`\n\n{}", told_function(resolve, it)).unwrap();
    }
    for (name, id) in &interface.types {
        let ty = &resolve.types[*id];
        let methods: Vec<&Function> =
            interface.functions.values().filter(|function| function.kind.resource() == Some(*id)).collect();
        write!(text, "\n### `{name}`\n\n{}: {}\n", kind(resolve, ty), words(&ty.docs)).unwrap();
        let members = members(resolve, ty);
        if !members.is_empty() {
            text.push_str("\n| | type | |\n|---|---|---|\n");
            for (member, shape, docs) in members {
                writeln!(text, "| `{member}` | {shape} | {} |", words(docs)).unwrap();
            }
        }
        for method in methods {
            write!(text, "\n#### `{name}.{}`\n\n{}", method.item_name(), told_function(resolve, method)).unwrap();
        }
    }
}

fn told_function(resolve: &Resolve, function: &Function) -> String {
    // A method's first parameter is the resource itself.
    let own = usize::from(matches!(function.kind, FunctionKind::Method(_)));
    let parameters: Vec<String> =
        function.params.iter().skip(own).map(|it| format!("{}: {}", it.name, shape(resolve, &it.ty))).collect();
    let result = function.result.map_or(String::new(), |ty| format!(" -> {}", shape(resolve, &ty)));
    let is_static = if matches!(function.kind, FunctionKind::Static(_)) { "static " } else { "" };
    format!("`{is_static}func({}){result}`\n\n{}\n", parameters.join(", "), words(&function.docs))
}

/// Fields or cases: name, type and what is said of them.
fn members<'a>(resolve: &Resolve, ty: &'a TypeDef) -> Vec<(&'a str, String, &'a Docs)> {
    let code = |ty: &Type| format!("`{}`", shape(resolve, ty));
    match &ty.kind {
        TypeDefKind::Record(record) => {
            record.fields.iter().map(|field| (field.name.as_str(), code(&field.ty), &field.docs)).collect()
        }
        TypeDefKind::Variant(variant) => variant
            .cases
            .iter()
            .map(|case| (case.name.as_str(), case.ty.as_ref().map(code).unwrap_or_default(), &case.docs))
            .collect(),
        TypeDefKind::Enum(of) => of.cases.iter().map(|case| (case.name.as_str(), String::new(), &case.docs)).collect(),
        TypeDefKind::Flags(of) => of.flags.iter().map(|flag| (flag.name.as_str(), String::new(), &flag.docs)).collect(),
        _ => Vec::new(),
    }
}

fn kind(resolve: &Resolve, ty: &TypeDef) -> String {
    match &ty.kind {
        TypeDefKind::Type(of) => format!("The same as `{}`", shape(resolve, of)),
        other => {
            let word = other.as_str();
            word[..1].to_uppercase() + &word[1..]
        }
    }
}

/// A type as WIT writes it.
fn shape(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else { return primitive(*ty).to_owned() };
    let of = &resolve.types[*id];
    let inner = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| shape(resolve, ty));
    match &of.kind {
        _ if of.name.is_some() && !matches!(of.owner, TypeOwner::None) => of.name.clone().unwrap(),
        TypeDefKind::Handle(Handle::Own(id)) => resolve.types[*id].name.clone().unwrap(),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", resolve.types[*id].name.as_ref().unwrap()),
        TypeDefKind::List(ty) => format!("list<{}>", shape(resolve, ty)),
        TypeDefKind::Option(ty) => format!("option<{}>", shape(resolve, ty)),
        TypeDefKind::Result(it) if it.err.is_none() => format!("result<{}>", inner(&it.ok)),
        TypeDefKind::Result(it) => format!("result<{}, {}>", inner(&it.ok), inner(&it.err)),
        TypeDefKind::Tuple(it) => {
            format!("tuple<{}>", it.types.iter().map(|ty| shape(resolve, ty)).collect::<Vec<_>>().join(", "))
        }
        other => panic!("the reference has no words for a {}", other.as_str()),
    }
}

fn primitive(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        other => panic!("the reference has no words for {other:?}"),
    }
}

/// What is said of an item, as one paragraph a paragraph: in a table, a line break would end the row.
fn words(docs: &Docs) -> String {
    let said = docs.contents.as_deref().unwrap_or_default();
    let paragraphs = said.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
