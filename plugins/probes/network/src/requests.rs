//! HTTP requests.

use std::fmt;

use crate::raw::wasi::{
    http::{
        outgoing_handler,
        types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme},
    },
    io::streams::StreamError,
};

/// What a server answered.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        self.headers.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))?;
        f.write_str(&self.body)
    }
}

/// Sends a request; one with the method POST has a body. Each of `headers` is `NAME=VALUE`.
pub(crate) fn request(method: &str, url: &str, headers: &[&str]) -> Result<Answer, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let fields = Fields::new();
    for header in headers {
        let (name, value) = header.split_once('=').ok_or("no value")?;
        fields.append(name, value.as_bytes()).map_err(|error| format!("{name}: {error:?}"))?;
    }
    let request = OutgoingRequest::new(fields);
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
    let body = request.body().map_err(|()| "no body")?;
    // What the component still holds of it afterwards must not show what the host has added.
    let kept = request.headers();
    let future = outgoing_handler::handle(request, None).map_err(|error| format!("{error:?}"))?;
    if matches!(method, Method::Post) {
        let stream = body.write().map_err(|()| "no stream")?;
        stream.blocking_write_and_flush(b"what is posted").map_err(|error| format!("{error:?}"))?;
    }
    OutgoingBody::finish(body, None).map_err(|error| format!("{error:?}"))?;
    future.subscribe().block();
    let response =
        future.get().ok_or("no answer")?.map_err(|()| "asked twice")?.map_err(|error| format!("{error:?}"))?;
    for (name, value) in kept.entries() {
        println!("kept {name}: {}", String::from_utf8_lossy(&value));
    }
    let read = |(name, value): (String, Vec<u8>)| (name, String::from_utf8_lossy(&value).into_owned());
    let headers = response.headers().entries().into_iter().map(read).collect();
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
    Ok(Answer { status: response.status(), headers, body: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Sends a GET request, and follows one redirect as an HTTP library would.
pub(crate) fn follow(url: &str) -> Result<String, String> {
    let answer = request("GET", url, &[])?;
    let location = answer.headers.iter().find(|(name, _)| name == "location").ok_or("no redirect")?;
    println!("redirected to {}", location.1);
    request("GET", &location.1, &[]).map(|answer| answer.to_string())
}
