//! Files that third parties wrote. Reads have a limit, opens never wait for a pipe or a device, and links are followed
//! only by [`open`], [`read`] and [`locate`]: an agent can put anything in a file's place at any time.

mod no_follow;
mod read;
mod remove;
mod within;
mod write;

pub use no_follow::{
    copy, create_new, is_irregular, list_quietly, open_beneath, open_directory, open_quietly, open_regular,
    open_to_write,
};
pub use read::{MAX_TEXT, open, read, read_bounded, read_text};
pub use remove::remove_tree;
pub use within::{Location, locate};
pub use write::{SHARED, new_beside, write_atomic};
