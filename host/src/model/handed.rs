//! What a core module of WASI 0.1 can be handed through the official adapter.

/// Bytes that the adapter has for the arguments, and again for the variables. The preview1 tests hold it to that.
const ROOM: usize = 59_016;
/// Bytes of the address and length of a text in the component's memory.
const TEXT: usize = 8;

/// What a core module asks the adapter for. What it does not ask for may be of any size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// Its arguments.
    pub args: bool,
    /// Its variables.
    pub env: bool,
}

/// What has no room in the adapter, and would trap the program. Completes "… what is handed to the program …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} take {taken} bytes of the adapter that hands them to a core module of WASI 0.1, which has {ROOM} for them: \
     {each} for each, and the longest of them; write them to a file that the program reads, or build the program as a \
     component of WASI 0.2"
)]
pub struct NoRoom {
    what: &'static str,
    taken: usize,
    each: usize,
}

/// Whether a command's arguments have room; its name comes before them and counts too.
///
/// # Errors
/// They do not.
pub fn room_for_args(name: &str, args: &[String]) -> Result<(), NoRoom> {
    let longest = args.iter().map(String::len).chain([name.len()]).max().unwrap_or(0);
    room("the arguments", TEXT, args.len() + 1, longest)
}

/// Whether variables, each a name and a value, have room.
///
/// # Errors
/// They do not.
pub fn room_for_env<'a>(variables: impl Iterator<Item = (&'a String, &'a String)>) -> Result<(), NoRoom> {
    let (mut count, mut longest) = (0, 0);
    for (name, value) in variables {
        (count, longest) = (count + 1, longest.max(name.len()).max(value.len()));
    }
    room("the variables", 2 * TEXT, count, longest)
}

fn room(what: &'static str, each: usize, count: usize, longest: usize) -> Result<(), NoRoom> {
    let taken = each * count + longest;
    if taken <= ROOM { Ok(()) } else { Err(NoRoom { what, taken, each }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_a_place_for_each_count() {
        let fits = |sizes: &[usize]| {
            let args: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            room_for_args("n", &args)
        };
        assert_eq!(fits(&[59_000]), Ok(()));
        assert_eq!(fits(&[58_992, 50_000]), Ok(()));
        assert_eq!(fits(&[]), Ok(()));
        let problem = fits(&[59_000, 1]).unwrap_err().to_string();
        assert!(problem.starts_with("the arguments take 59024 bytes of the adapter"), "{problem}");
        let variables = |name: usize, value: usize| {
            let variable = ("x".repeat(name), "y".repeat(value));
            room_for_env([(&variable.0, &variable.1)].into_iter())
        };
        assert_eq!(variables(59_000, 59_000), Ok(()));
        assert!(variables(1, 59_001).is_err() && variables(59_001, 1).is_err());
    }
}
