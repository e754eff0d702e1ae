use std::io::{self, Read, Write};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

use super::args::AdaptArgs;
use host_wasm::component;

/// What the encoder may take: bytes of address space, and seconds on the processor.
const ADDRESS_SPACE: u64 = 4 << 30;
const SECONDS: u64 = 30;

/// `host adapt`: turns the core module on stdin into a component on stdout. It is bounded, and ends with its parent.
pub(super) fn adapt(args: &AdaptArgs) -> u8 {
    match bound(ADDRESS_SPACE, Some(SECONDS)).and_then(|()| work(args.command)) {
        Ok(()) => 0,
        Err(error) => {
            // Without a stderr the exit code still tells.
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    }
}

/// Ends this process with its parent, and bounds its address space and its time on the processor.
pub(super) fn bound(address_space: u64, seconds: Option<u64>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    at_most(Resource::As, address_space)?;
    seconds.map_or(Ok(()), |seconds| at_most(Resource::Cpu, seconds))?;
    // A crash is told by the signal.
    at_most(Resource::Core, 0)
}

/// Lowers a limit, and never raises it.
fn at_most(resource: Resource, most: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum.map_or(most, |given| given.min(most));
    let current = getrlimit(resource).current.map_or(maximum, |given| given.min(maximum));
    Ok(setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?)
}

fn work(command: bool) -> io::Result<()> {
    let mut module = Vec::new();
    io::stdin().lock().take(ADDRESS_SPACE).read_to_end(&mut module)?;
    let component = component::adapt(&module, command).map_err(io::Error::other)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&component)?;
    stdout.flush()
}
