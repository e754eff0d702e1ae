//! A plain WASI 0.2 command that uses what its arguments name, and prints what came of it.

mod listening;
mod raw;
mod requests;
mod sockets;

use std::{env, process::ExitCode};

use raw::wasi::{
    clocks::{monotonic_clock, wall_clock},
    random::{insecure, insecure_seed, random},
};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let came_of_it = match words.as_slice() {
        ["request", method, url, headers @ ..] => requests::request(method, url, headers).map(|it| it.to_string()),
        // In the place of `LONG` many letters.
        ["long", method, url, headers @ ..] => {
            let long = |text: &str| text.replace("LONG", &"x".repeat(70_000));
            let headers: Vec<String> = headers.iter().copied().map(long).collect();
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            requests::request(&long(method), &long(url), &headers).map(|it| it.to_string())
        }
        ["follow", url] => requests::follow(url),
        ["trailers", url, trailers @ ..] => requests::trailers(url, trailers).map(|it| it.to_string()),
        ["patient", url, first, between] => {
            let milliseconds = |text: &str| text.parse().expect("milliseconds");
            let patience = requests::Patience { first: milliseconds(first), between: milliseconds(between) };
            requests::patient(url, &patience).map(|it| it.to_string())
        }
        ["keep", count, url] => requests::keep(count.parse().expect("a count"), url),
        ["look-ups", count, name] => sockets::look_ups(count.parse().expect("a count"), name),
        ["tcp", host, port] => sockets::tcp(host, port.parse().expect("a port")),
        ["udp", host, port] => sockets::udp(host, port.parse().expect("a port")),
        ["own-tcp", ip] => listening::own_tcp(ip),
        ["own-udp", ip] => listening::own_udp(ip),
        ["closed-tcp", ip] => listening::closed_tcp(ip),
        ["closed-udp", ip] => listening::closed_udp(ip),
        ["disconnected-udp", ip] => listening::disconnected_udp(ip),
        ["bind-tcp", ip, port] => listening::bind_tcp(ip, port.parse().expect("a port")),
        ["bind-udp", ip, port] => listening::bind_udp(ip, port.parse().expect("a port")),
        ["serve-tcp", ip, port] => listening::serve_tcp(ip, port.parse().expect("a port")),
        ["serve-udp", ip, port] => listening::serve_udp(ip, port.parse().expect("a port")),
        ["look-up", name] => sockets::look_up(name).map(|found| format!("{found:?}")),
        ["same"] => Ok(same()),
        ["env"] => Ok(variables()),
        _ => Err(format!("unknown arguments: {words:?}")),
    };
    match came_of_it {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Clocks and random numbers, which differ from time to time unless they are fixed.
fn same() -> String {
    let mut looks = vec![monotonic_clock::now()];
    monotonic_clock::subscribe_duration(1_000_000).block();
    looks.push(monotonic_clock::now());
    let numbers = (random::get_random_u64(), random::get_random_bytes(5), insecure::get_insecure_random_u64());
    format!("{looks:?} {:?} {numbers:?} {:?}", wall_clock::now(), insecure_seed::insecure_seed())
}

fn variables() -> String {
    let mut variables: Vec<String> = env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    variables.sort();
    variables.join("|")
}
