//! WASI 0.2 as a component sees it, with nothing in between: a standard library may refuse or rewrite what the host
//! itself must refuse, and its `std::net` does not link with every guest toolchain.
#![allow(missing_docs, reason = "generated from wit/deps, which holds the documentation")]

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package probe:raw;

        world raw {
            import wasi:cli/exit@0.2.12;
            import wasi:filesystem/types@0.2.12;
            import wasi:filesystem/preopens@0.2.12;
            import wasi:sockets/network@0.2.12;
            import wasi:sockets/instance-network@0.2.12;
            import wasi:sockets/ip-name-lookup@0.2.12;
            import wasi:sockets/tcp@0.2.12;
            import wasi:sockets/tcp-create-socket@0.2.12;
            import wasi:sockets/udp@0.2.12;
            import wasi:sockets/udp-create-socket@0.2.12;
        }
    ",
    world: "probe:raw/raw",
    generate_all,
});

pub use wasi::{cli, filesystem, sockets};

use filesystem::types::Descriptor;

/// The directory that the component was given as `name`.
///
/// # Panics
/// When it was not given one.
#[must_use]
pub fn preopen(name: &str) -> Descriptor {
    let given = filesystem::preopens::get_directories();
    let found = given.into_iter().find_map(|(directory, seen_as)| (seen_as == name).then_some(directory));
    found.unwrap_or_else(|| panic!("there is no preopen {name}"))
}
