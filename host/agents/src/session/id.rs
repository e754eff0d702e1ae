//! Session ids.

use std::hash::{BuildHasher, RandomState};

/// Returns 128 random bits: the keys that the standard library generates for its hash maps.
pub(crate) fn new_session_id() -> String {
    format!("{:016x}{:016x}", RandomState::new().hash_one(0), RandomState::new().hash_one(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_are_unique() {
        assert_ne!(new_session_id(), new_session_id());
    }
}
