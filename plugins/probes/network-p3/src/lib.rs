//! A plain WASI 0.3 command, with asynchronous calls, that uses what its arguments name, and prints what came of it.
//! Its standard library is one of WASI 0.2: both are in one component.
#![allow(missing_docs, reason = "the bindings are generated from wit/deps, which holds the documentation")]

mod files;
mod sockets;

use std::{
    env,
    future::poll_fn,
    pin::{Pin, pin},
};

wit_bindgen::generate!({ path: "wit", world: "network-p3", generate_all });

use exports::wasi::cli::run::Guest;
use wasi::{
    http::{
        client,
        types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme},
    },
    sockets::ip_name_lookup::resolve_addresses,
};

struct Command;

export!(Command);

impl Guest for Command {
    async fn run() -> Result<(), ()> {
        let args: Vec<String> = env::args().collect();
        let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
        let came_of_it = match words.as_slice() {
            ["request", method, url, headers @ ..] => answer(method, url, headers).await,
            ["streams", count] => {
                let streams: Vec<_> = (0..count.parse().expect("a count")).map(|_| wit_stream::new::<u8>()).collect();
                Ok(format!("{} streams", streams.len()))
            }
            // In the place of `LONG` many letters.
            ["long", method, url, headers @ ..] => {
                let long = |text: &str| text.replace("LONG", &"x".repeat(70_000));
                let headers: Vec<String> = headers.iter().copied().map(long).collect();
                let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
                answer(&long(method), &long(url), &headers).await
            }
            ["follow", url] => follow(url).await,
            ["trailers", url, trailers @ ..] => trailing(url, trailers).await,
            ["patient", url, first, between] => {
                let nanoseconds = |text: &str| 1_000_000 * text.parse::<u64>().expect("milliseconds");
                patient(url, nanoseconds(first), nanoseconds(between)).await
            }
            ["keep", count, url] => keep(count.parse().expect("a count"), url).await,
            ["look-ups", count, name] => look_ups(count.parse().expect("a count"), name).await,
            ["list", folder] => files::list(folder).await,
            ["read", path] => files::read(path).await,
            ["kind", path] => files::kind(path).await,
            ["hold-listings", count] => files::hold_listings(count.parse().expect("a count")).await,
            ["tcp", ip, port] => sockets::tcp(ip, port.parse().expect("a port")).await,
            ["udp", ip, port] => sockets::udp(ip, port.parse().expect("a port")).await,
            ["own-tcp", ip] => sockets::own_tcp(ip).await,
            ["own-udp", ip] => sockets::own_udp(ip).await,
            ["unbound", ip] => sockets::unbound(ip).await,
            ["closed-tcp", ip] => sockets::closed_tcp(ip).await,
            ["closed-udp", ip] => sockets::closed_udp(ip).await,
            ["disconnected-udp", ip] => sockets::disconnected_udp(ip).await,
            ["bind-tcp", ip, port] => sockets::bind_tcp(ip, port.parse().expect("a port")),
            ["bind-udp", ip, port] => sockets::bind_udp(ip, port.parse().expect("a port")),
            ["serve-tcp", ip, port] => sockets::serve_tcp(ip, port.parse().expect("a port")).await,
            ["serve-udp", ip, port] => sockets::serve_udp(ip, port.parse().expect("a port")).await,
            ["look-up", name] => resolve_addresses((*name).to_owned())
                .await
                .map(|found| format!("{found:?}"))
                .map_err(|error| format!("{error:?}")),
            _ => Err(format!("unknown arguments: {words:?}")),
        };
        match came_of_it {
            Ok(text) => println!("{text}"),
            Err(text) => {
                eprintln!("{text}");
                return Err(());
            }
        }
        Ok(())
    }
}

/// Fields of `NAME=VALUE`.
fn fields(written: &[&str]) -> Result<Fields, String> {
    let fields = Fields::new();
    for field in written {
        let (name, value) = field.split_once('=').ok_or("no value")?;
        fields.append(name, value.as_bytes()).map_err(|error| format!("{name}: {error:?}"))?;
    }
    Ok(fields)
}

/// What goes to `url` with this method.
fn address(request: &Request, method: &Method, url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(|()| "bad scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "bad authority")?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(|()| "bad path")?;
    request.set_method(method).map_err(|()| "bad method".to_owned())
}

/// Sends a request without a body. Each of `headers` is `NAME=VALUE`.
async fn send(method: &str, url: &str, headers: &[&str], options: Option<RequestOptions>) -> Result<Response, String> {
    let (trailers, no_trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(fields(headers)?, None, no_trailers, options);
    drop(trailers);
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "TRACE" => Method::Trace,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    address(&request, &method, url)?;
    // What the component still holds of it afterwards must not show what the host has added.
    let kept = request.get_headers();
    let response = client::send(request).await.map_err(|error: ErrorCode| format!("{error:?}"))?;
    for (name, value) in kept.copy_all() {
        println!("kept {name}: {}", String::from_utf8_lossy(&value));
    }
    Ok(response)
}

async fn answer(method: &str, url: &str, headers: &[&str]) -> Result<String, String> {
    read(send(method, url, headers, None).await?).await
}

async fn read(response: Response) -> Result<String, String> {
    let mut text = format!("{}\n", response.get_status_code());
    for (name, value) in response.get_headers().copy_all() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    let (read, reading) = wit_future::new(|| Ok(()));
    let (body, ended) = Response::consume_body(response, reading);
    text.push_str(&String::from_utf8_lossy(&body.collect().await));
    drop(read);
    ended.await.map_err(|error| format!("{error:?}"))?;
    Ok(text)
}

/// Sends a request with a body and these trailers, each `NAME=VALUE`.
async fn trailing(url: &str, trailers: &[&str]) -> Result<String, String> {
    let names: Vec<_> = trailers.iter().filter_map(|trailer| trailer.split_once('=')).map(|(name, _)| name).collect();
    let headers = fields(&[&format!("trailer={}", names.join(","))])?;
    let last = fields(trailers)?;
    let (mut contents, body) = wit_stream::new();
    let (end, ended) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(headers, Some(body), ended, None);
    address(&request, &Method::Post, url)?;
    let writing = async move {
        contents.write_all(b"what is posted".to_vec()).await;
        drop(contents);
        let _ = end.write(Ok(Some(last))).await;
    };
    let response = beside(vec![Box::pin(writing)], client::send(request)).await;
    read(response.map_err(|error| format!("{error:?}"))?).await
}

/// Does `main`, and meanwhile the others first, as far as they come.
async fn beside<T>(mut others: Vec<Pin<Box<dyn Future<Output = ()>>>>, main: impl Future<Output = T>) -> T {
    let mut main = pin!(main);
    poll_fn(|context| {
        others.retain_mut(|other| other.as_mut().poll(context).is_pending());
        main.as_mut().poll(context)
    })
    .await
}

/// Sends a request and waits only for so many nanoseconds for what the server sends.
async fn patient(url: &str, first: u64, between: u64) -> Result<String, String> {
    let options = RequestOptions::new();
    options.set_first_byte_timeout(Some(first)).map_err(|error| format!("{error:?}"))?;
    options.set_between_bytes_timeout(Some(between)).map_err(|error| format!("{error:?}"))?;
    read(send("GET", url, &[], Some(options)).await?).await
}

/// Sends `count` requests one after the other without reading what is answered, of which it has no handle, then lets go
/// of all, and sends another.
async fn keep(count: u32, url: &str) -> Result<String, String> {
    let mut kept = Vec::new();
    for _ in 0..count {
        match send("GET", url, &[], None).await {
            Ok(response) => {
                println!("{}", response.get_status_code());
                let (done, reading) = wit_future::new(|| Ok(()));
                kept.push((Response::consume_body(response, reading), done));
            }
            Err(error) => println!("{error}"),
        }
    }
    drop(kept);
    // The host takes a moment to close what was let go.
    loop {
        match send("GET", url, &[], None).await {
            Err(error) if error.contains("ConnectionLimitReached") => wit_bindgen::yield_async().await,
            other => return other.map(|response| format!("afterwards {}", response.get_status_code())),
        }
    }
}

/// Looks up a name `count` times at once; what came of the last.
async fn look_ups(count: u32, name: &str) -> Result<String, String> {
    let other = |name| async { drop(resolve_addresses(name).await) };
    let others = (1..count).map(|_| Box::pin(other(name.to_owned())) as _).collect();
    beside(others, resolve_addresses(name.to_owned()))
        .await
        .map(|found| format!("{found:?}"))
        .map_err(|error| format!("{error:?}"))
}

/// Sends a GET request, and follows one redirect as an HTTP library would.
async fn follow(url: &str) -> Result<String, String> {
    let response = send("GET", url, &[], None).await?;
    let location = response.get_headers().get("location");
    let location = String::from_utf8_lossy(location.first().ok_or("no redirect")?).into_owned();
    println!("redirected to {location}");
    answer("GET", &location, &[]).await
}
