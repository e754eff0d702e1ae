//! The world `scenario:host/plugin`, as `wit-bindgen` gives it.
#![allow(missing_docs, unreachable_pub, reason = "generated from wit/, which holds the documentation")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    generate_all,
});
