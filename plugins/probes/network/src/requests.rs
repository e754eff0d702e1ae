//! HTTP requests.

use std::fmt;

use crate::raw::wasi::{
    clocks::monotonic_clock::subscribe_duration,
    http::{
        outgoing_handler,
        types::{
            Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
            Scheme, http_error_code,
        },
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

/// A request that is on its way, and the headers that the component still holds of it.
struct Sent {
    future: FutureIncomingResponse,
    kept: Fields,
}

/// How long a server may be waited for, in milliseconds.
pub(crate) struct Patience {
    pub(crate) first: u64,
    pub(crate) between: u64,
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

/// Begins a request; one with the method POST has a body, and these trailers. Each field is `NAME=VALUE`.
fn send(
    method: &str,
    url: &str,
    headers: &[&str],
    trailers: &[&str],
    patience: Option<&Patience>,
) -> Result<Sent, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(fields(headers)?);
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
    let options = RequestOptions::new();
    if let Some(patience) = patience {
        let set = options
            .set_first_byte_timeout(Some(patience.first * 1_000_000))
            .and_then(|()| options.set_between_bytes_timeout(Some(patience.between * 1_000_000)));
        set.map_err(|()| "bad timeout")?;
    }
    // What the component still holds of it afterwards must not show what the host has added.
    let kept = request.headers();
    let future = outgoing_handler::handle(request, Some(options)).map_err(|error| format!("{error:?}"))?;
    if matches!(method, Method::Post) {
        let stream = body.write().map_err(|()| "no stream")?;
        stream.blocking_write_and_flush(b"what is posted").map_err(|error| format!("{error:?}"))?;
    }
    let trailers = if trailers.is_empty() { None } else { Some(fields(trailers)?) };
    OutgoingBody::finish(body, trailers).map_err(|error| format!("{error:?}"))?;
    Ok(Sent { future, kept })
}

impl Sent {
    fn answered(&self) -> Result<IncomingResponse, String> {
        self.future.subscribe().block();
        let answered = self.future.get().ok_or("no answer")?.map_err(|()| "asked twice")?;
        answered.map_err(|error| format!("{error:?}"))
    }
}

fn read(response: &IncomingResponse) -> Result<Answer, String> {
    let read = |(name, value): (String, Vec<u8>)| (name, String::from_utf8_lossy(&value).into_owned());
    let headers = response.headers().entries().into_iter().map(read).collect();
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                let code = http_error_code(&error).map(|code| format!("{code:?}"));
                return Err(code.unwrap_or_else(|| error.to_debug_string()));
            }
        }
    }
    Ok(Answer { status: response.status(), headers, body: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Sends a request; one with the method POST has a body. Each of `headers` is `NAME=VALUE`.
pub(crate) fn request(method: &str, url: &str, headers: &[&str]) -> Result<Answer, String> {
    let sent = send(method, url, headers, &[], None)?;
    let response = sent.answered()?;
    for (name, value) in sent.kept.entries() {
        println!("kept {name}: {}", String::from_utf8_lossy(&value));
    }
    read(&response)
}

/// Sends a request with these trailers, each `NAME=VALUE`.
pub(crate) fn trailers(url: &str, trailers: &[&str]) -> Result<Answer, String> {
    let names: Vec<_> = trailers.iter().filter_map(|trailer| trailer.split_once('=')).map(|(name, _)| name).collect();
    let sent = send("POST", url, &[&format!("trailer={}", names.join(","))], trailers, None)?;
    read(&sent.answered()?)
}

/// Sends a request and waits only so long for what the server sends.
pub(crate) fn patient(url: &str, patience: &Patience) -> Result<Answer, String> {
    read(&send("GET", url, &[], &[], Some(patience))?.answered()?)
}

/// Sends `count` requests one after the other without reading what is answered, then lets go of all, and sends another.
pub(crate) fn keep(count: u32, url: &str) -> Result<String, String> {
    let mut kept = Vec::new();
    for _ in 0..count {
        match send("GET", url, &[], &[], None)?.answered() {
            Ok(response) => {
                println!("{}", response.status());
                kept.push(response);
            }
            Err(error) => println!("{error}"),
        }
    }
    drop(kept);
    // The host takes a moment to close what was let go.
    loop {
        match request("GET", url, &[]) {
            Err(error) if error.contains("ConnectionLimitReached") => subscribe_duration(1_000_000).block(),
            other => return other.map(|answer| format!("afterwards {}", answer.status)),
        }
    }
}

/// Sends a GET request, and follows one redirect as an HTTP library would.
pub(crate) fn follow(url: &str) -> Result<String, String> {
    let answer = request("GET", url, &[])?;
    let location = answer.headers.iter().find(|(name, _)| name == "location").ok_or("no redirect")?;
    println!("redirected to {}", location.1);
    request("GET", &location.1, &[]).map(|answer| answer.to_string())
}
