//! The scripted model server of the tests, for use by hand: serves a suite's scripts until it is interrupted.
//!
//! ```text
//! cargo run -p scenario-host --example model_server -- [SCENARIOS [PORT]]
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a person at a terminal")]

use std::{io, net::Ipv4Addr};

use host_testing::model_server::{ModelServer, Scripts, Session};

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let scenarios = args.next().unwrap_or_else(|| "scenarios".into());
    let port = args.next().map_or(Ok(0), |port| port.parse()).map_err(io::Error::other)?;
    let server = ModelServer::start_at(Scripts::of_suite(&scenarios), port).await?;
    let example = Session { scenario: "SCENARIO", agent: "AGENT", mode: "ok", label: "1" };
    println!("{}", server.url(&example));
    eprintln!("plays {scenarios}/SCENARIO/agents/AGENT.toml; /v1 behind the URL for OpenAI's interfaces");
    eprintln!("on {} port {}; interrupt to end", Ipv4Addr::LOCALHOST, server.address().port());
    let mut told = 0;
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(200));
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => {
                server.stop().await;
                return interrupted;
            }
            _ = ticks.tick() => {
                for request in server.requests_from(told) {
                    eprintln!("{} {:?} {}: {:?}", request.prefix, request.api, request.model, request.answered);
                    told += 1;
                }
            }
        }
    }
}
