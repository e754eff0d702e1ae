//! A plain WASI 0.3 command, with asynchronous calls, that uses what its arguments name, and prints what came of it.
//! Its standard library is one of WASI 0.2: both are in one component.
#![allow(missing_docs, reason = "the bindings are generated from wit/deps, which holds the documentation")]

use std::env;

wit_bindgen::generate!({ path: "wit", world: "network-p3", generate_all });

use exports::wasi::cli::run::Guest;
use wasi::{
    http::{
        client,
        types::{ErrorCode, Fields, Method, Request, Response, Scheme},
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
            ["follow", url] => follow(url).await,
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

/// Sends a request without a body. Each of `headers` is `NAME=VALUE`.
async fn send(method: &str, url: &str, headers: &[&str]) -> Result<Response, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let fields = Fields::new();
    for header in headers {
        let (name, value) = header.split_once('=').ok_or("no value")?;
        fields.append(name, value.as_bytes()).map_err(|error| format!("{name}: {error:?}"))?;
    }
    let (trailers, no_trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(fields, None, no_trailers, None);
    drop(trailers);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(|()| "bad scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "bad authority")?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(|()| "bad path")?;
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "TRACE" => Method::Trace,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "bad method")?;
    // What the component still holds of it afterwards must not show what the host has added.
    let kept = request.get_headers();
    let response = client::send(request).await.map_err(|error: ErrorCode| format!("{error:?}"))?;
    for (name, value) in kept.copy_all() {
        println!("kept {name}: {}", String::from_utf8_lossy(&value));
    }
    Ok(response)
}

async fn answer(method: &str, url: &str, headers: &[&str]) -> Result<String, String> {
    let response = send(method, url, headers).await?;
    let mut text = format!("{}\n", response.get_status_code());
    for (name, value) in response.get_headers().copy_all() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    let (read, reading) = wit_future::new(|| Ok(()));
    let (body, _trailers) = Response::consume_body(response, reading);
    text.push_str(&String::from_utf8_lossy(&body.collect().await));
    drop(read);
    Ok(text)
}

/// Sends a GET request, and follows one redirect as an HTTP library would.
async fn follow(url: &str) -> Result<String, String> {
    let response = send("GET", url, &[]).await?;
    let location = response.get_headers().get("location");
    let location = String::from_utf8_lossy(location.first().ok_or("no redirect")?).into_owned();
    println!("redirected to {location}");
    answer("GET", &location, &[]).await
}
