//! What a plugin holds of the host while it is asked for its scenarios, by whoever has not trusted it yet.

use host_testing::{Finished, Listed, Suite, typed_module_importing};

const WORLD: &str = "
    package test:guest;
    world plugin {
        include scenario:host/plugin@0.1.0;
        import wasi:http/types@0.2.12;
    }
";
/// Each text in the calls is `LENGTH` bytes at the second page. What is refused traps.
const IMPORTS: &str = r#"
    (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.12" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.12" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-method"
        (func $method (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-authority"
        (func $host (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-path-with-query"
        (func $path (param i32 i32 i32 i32) (result i32)))
    (import "$root" "[waitable-set-new]" (func $set (result i32)))
"#;

/// `host list` of a plugin whose `list` calls `call` with a text of `length` bytes, and then makes as many sets of its own.
fn list(call: &str, length: usize, sets: usize) -> Finished {
    let code = format!(
        "(drop (memory.grow (i32.const 3)))
         (memory.fill (i32.const 65536) (i32.const 0x78) (i32.const 100000))
         (i32.store8 (i32.const 65536) (i32.const 0x2f))
         {}
         (i32.store (i32.const 8) (i32.const {sets}))
         (loop $again
             (if (i32.load (i32.const 8)) (then
                 (drop (call $set))
                 (i32.store (i32.const 8) (i32.sub (i32.load (i32.const 8)) (i32.const 1)))
                 (br $again))))",
        call.replace("LENGTH", &length.to_string())
    );
    let suite = Suite::new();
    let listed = [Listed { name: "one", ..Listed::default() }];
    suite.file("guest.wasm", typed_module_importing(WORLD, &listed, IMPORTS, &code));
    suite.host(["list", suite.path("guest.wasm").to_str().unwrap()])
}

#[test]
fn a_request_holds_no_more_of_the_hosts_memory_in_list_either() {
    for call in [
        "(call $append (call $fields) (i32.const 65540) (i32.const 1) (i32.const 65540) (i32.const LENGTH) (i32.const 32))",
        "(if (call $method (call $request (call $fields)) (i32.const 9) (i32.const 65540) (i32.const LENGTH))
             (then unreachable))",
        "(if (call $host (call $request (call $fields)) (i32.const 1) (i32.const 65540) (i32.const LENGTH))
             (then unreachable))",
        "(if (call $path (call $request (call $fields)) (i32.const 1) (i32.const 65536) (i32.const LENGTH))
             (then unreachable))",
    ] {
        list(call, 2_000, 0).exits(0);
        let refused = list(call, 70_000, 0);
        refused.exits(96);
        assert!(refused.told().contains("cannot list its scenarios"), "{call}: {}", refused.told());
    }
}

#[test]
fn resources_of_a_listing_plugin_are_limited() {
    list("", 0, 500).exits(0);
    let refused = list("", 0, 2_000);
    refused.exits(96);
    assert!(refused.told().contains("cannot list its scenarios"), "{}", refused.told());
}
