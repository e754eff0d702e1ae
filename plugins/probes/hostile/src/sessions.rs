//! Sessions that are not treated as they should.

use std::mem;

use scenario_sdk::{Outcome, Session, Verdict};

pub(crate) fn once() -> Outcome {
    Session::run("go")?;
    Ok(Verdict::Pass)
}

/// Starts a session and waits for the sign that its agent has begun to work.
fn begun() -> Result<Session, scenario_sdk::SessionFault> {
    let mut session = Session::start("go")?;
    while !std::fs::exists("/begun").unwrap_or(false) {
        session.next_event()?;
    }
    Ok(session)
}

pub(crate) fn abandoned() -> Outcome {
    let _session = begun()?;
    panic!("the probe gives up")
}

pub(crate) fn forgotten() -> Outcome {
    mem::forget(begun()?);
    Ok(Verdict::Pass)
}

#[expect(clippy::unnecessary_wraps, reason = "a scenario's function")]
pub(crate) fn faults_ignored() -> Outcome {
    // Whatever comes of it; the host has noted it.
    let _ = Session::run("go");
    Ok(Verdict::Pass)
}

pub(crate) fn many() -> Outcome {
    loop {
        mem::forget(Session::start("go")?);
    }
}

pub(crate) fn used_up() -> Outcome {
    use scenario_sdk::bindings::scenario::host::agent;
    let session = agent::Session::start("go")?;
    let first = session.conclude()?;
    let second = session.conclude()?;
    if (&first.final_message, first.turns) != (&second.final_message, second.turns) {
        return Ok(Verdict::Skip("a second conclusion is another".to_owned()));
    }
    let _ = session.send("more");
    let _ = session.next_event();
    Ok(Verdict::Pass)
}
