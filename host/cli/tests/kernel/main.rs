//! What the kernel refuses to confined agents. It has to offer Landlock.

mod confinement;
mod tampering;
