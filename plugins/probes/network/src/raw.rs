//! WASI 0.2 without a standard library before it.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "generated from wit/deps, which holds the documentation")]

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package probe:network;

        world network {
            import wasi:clocks/monotonic-clock@0.2.12;
            import wasi:clocks/wall-clock@0.2.12;
            import wasi:random/random@0.2.12;
            import wasi:random/insecure@0.2.12;
            import wasi:random/insecure-seed@0.2.12;
            import wasi:sockets/instance-network@0.2.12;
            import wasi:sockets/ip-name-lookup@0.2.12;
            import wasi:sockets/tcp@0.2.12;
            import wasi:sockets/tcp-create-socket@0.2.12;
            import wasi:sockets/udp@0.2.12;
            import wasi:sockets/udp-create-socket@0.2.12;
            import wasi:http/outgoing-handler@0.2.12;
        }
    ",
    world: "probe:network/network",
    generate_all,
});
