//! Real agents from npm, and the scripted model server that plays their provider. `make test-agents` runs all of them.

mod acp_library;
mod lanes_real;
mod scripted;
