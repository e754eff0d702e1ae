//! The server: connections, URLs, and which answer a request gets.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::{
    Method, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use super::{
    answer::Answer,
    body::{End, Parts},
    chat,
    conversation::Conversation,
    faults::{Failure, Fault, Mode},
    gate::Gate,
    log::{Answered, Api, Request},
    messages, responses,
    script::{Obstacle, Scripts},
};

/// A model server on a port of its own. Dropping it ends all its connections.
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    accepting: JoinHandle<()>,
}

/// What a session gets: the parts of its URL.
#[derive(Clone, Debug)]
pub struct Session<'a> {
    /// The scenario, or `auto`.
    pub scenario: &'a str,
    /// Its script, without `.toml`.
    pub agent: &'a str,
    /// A [`Mode`].
    pub mode: &'a str,
    /// What tells it from sessions that are alike.
    pub label: &'a str,
}

impl Session<'_> {
    fn prefix(&self) -> String {
        format!("/s/{}/{}/m/{}/l/{}", self.scenario, self.agent, self.mode, self.label)
    }
}

#[derive(Debug)]
struct Shared {
    scripts: Scripts,
    count: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    /// Requests that failed, by what they failed for.
    failed: Mutex<BTreeMap<String, u32>>,
    gate: Gate,
}

impl ModelServer {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(scripts: Scripts) -> io::Result<Self> {
        Self::start_at(scripts, 0).await
    }

    /// Listens on this port of 127.0.0.1; 0 is a free one.
    pub async fn start_at(scripts: Scripts, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            scripts,
            count: AtomicUsize::new(1),
            requests: Mutex::default(),
            failed: Mutex::default(),
            gate: Gate::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let accepting = tokio::spawn(accept(listener, shared.clone(), stopped));
        Ok(Self { address, shared, stop: Some(stop), accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of a session, for Messages; the other interfaces want `/v1` behind it.
    pub fn url(&self, session: &Session<'_>) -> String {
        format!("http://{}{}", self.address, session.prefix())
    }

    /// What was asked so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.requests_from(0)
    }

    /// The same, without the first `known` of it.
    pub fn requests_from(&self, known: usize) -> Vec<Request> {
        locked(&self.shared.requests)[known..].to_vec()
    }

    /// What one session asked so far, in order.
    pub fn requests_of(&self, session: &Session<'_>) -> Vec<Request> {
        let prefix = session.prefix();
        self.requests().into_iter().filter(|request| request.prefix == prefix).collect()
    }

    /// Keeps every conversation waiting for its first answer, from now on until [`release`](Self::release).
    pub fn hold(&self) {
        self.shared.gate.close();
    }

    /// Waits until so many conversations are held.
    pub async fn holds(&self, count: usize) {
        self.shared.gate.holds(count).await;
    }

    /// Gives those that are held their answers.
    pub fn release(&self) {
        self.shared.gate.open();
    }

    /// Ends all connections, those that are silent too, and waits until they are gone.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        drop((&mut self.accepting).await);
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    // Dropping the set aborts what is in it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let shared = shared.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| serve(shared.clone(), request));
                    // An error is a client that left, or a connection that was dropped on purpose.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        }
    }
    connections.shutdown().await;
}

/// An error drops the connection.
async fn serve(shared: Arc<Shared>, request: hyper::Request<Incoming>) -> io::Result<Response<Parts>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path();
    if path.ends_with("/models") {
        let model = json!({ "id": "scripted-model", "object": "model", "created": 1, "owned_by": "scripted" });
        return Ok(whole(StatusCode::OK, &json!({ "object": "list", "data": [model], "has_more": false })));
    }
    let apis =
        [("/v1/messages", Api::Messages), ("/v1/responses", Api::Responses), ("/v1/chat/completions", Api::Chat)];
    let found = apis.iter().find_map(|(end, api)| Some((path.strip_suffix(end)?, *api)));
    let Some((prefix, api)) = found.filter(|_| head.method == Method::POST) else {
        if path.ends_with("/v1/messages/count_tokens") {
            return Ok(whole(StatusCode::OK, &json!({ "input_tokens": 1 })));
        }
        let failure = Failure::new(404, format!("there is nothing at {} {path}", head.method));
        return Ok(failed(&failure, Api::Messages));
    };
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let key = header(AUTHORIZATION.as_str()).map(|key| key.trim_start_matches("Bearer ")).or(header("x-api-key"));
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let conversation = Conversation::of(
        &body,
        match api {
            Api::Messages => messages::entries(&body),
            Api::Responses => responses::entries(&body),
            Api::Chat => chat::entries(&body),
        },
    );
    let (outcome, answered) = shared.decide(prefix, &conversation);
    locked(&shared.requests).push(Request {
        prefix: prefix.to_owned(),
        api,
        model: conversation.model.clone(),
        key: key.map(str::to_owned),
        tools: conversation.tools.names(),
        body,
        answered,
    });
    let id = shared.count.fetch_add(1, Ordering::Relaxed);
    match outcome {
        Outcome::Failure(failure) => Ok(failed(&failure, api)),
        Outcome::Silent => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
        Outcome::Dropped => Err(io::Error::other("the connection is dropped on purpose")),
        Outcome::Answer(answer, fault) => {
            // Without tools it is no work: some agents ask for a title of the session.
            if answer.number == Some(0) && !conversation.tools.names().is_empty() {
                shared.gate.pass(format!("{prefix} {:?}", conversation.opening())).await;
            }
            tokio::time::sleep(answer.delay).await;
            Ok(if conversation.stream {
                streamed(id, api, &conversation, &answer, fault)
            } else {
                at_once(id, api, &conversation, &answer, fault)
            })
        }
    }
}

/// What a request gets.
enum Outcome {
    Failure(Failure),
    Silent,
    Dropped,
    /// An answer, which the fault keeps from coming through as it is.
    Answer(Box<Answer>, Option<Fault>),
}

impl Shared {
    fn decide(&self, prefix: &str, conversation: &Conversation) -> (Outcome, Answered) {
        match self.answer(prefix, conversation) {
            Ok(decided) => decided,
            // No provider gives this code for a passing trouble: agents do not ask again.
            Err(problem) => (Outcome::Failure(Failure::new(400, &problem)), Answered::Problem(problem)),
        }
    }

    fn answer(&self, prefix: &str, conversation: &Conversation) -> Result<(Outcome, Answered), String> {
        let (scenario, agent, mode) = parts(prefix)?;
        let mode: Mode = mode.parse()?;
        let found = (scenario == "auto").then(|| self.scripts.scenario_of(&conversation.opening(), agent));
        let scenario = found.transpose()?.unwrap_or(scenario);
        let answer = self.scripts.plan(scenario, agent)?.answer(conversation)?;
        let Some(number) = answer.number else {
            return Ok((Outcome::Answer(Box::new(answer), None), Answered::Worker));
        };
        if let Some(fault) = mode.fault.filter(|_| number >= mode.after)
            && mode.failures.is_none_or(|most| self.fails_again(prefix, most))
        {
            let told = Answered::Fault(fault.to_string());
            return Ok(match (fault, Failure::of(fault)) {
                (_, Some(failure)) => (Outcome::Failure(failure), told),
                (Fault::Silent, _) => (Outcome::Silent, told),
                (Fault::Dropped, _) => (Outcome::Dropped, told),
                _ => (Outcome::Answer(Box::new(answer), Some(fault)), told),
            });
        }
        for (index, obstacle) in answer.obstacles.iter().enumerate() {
            let once = matches!(obstacle, Obstacle::BackOff { .. });
            if once && !self.fails_again(&format!("{prefix} {number} {index}"), 1) {
                continue;
            }
            let told = Answered::Fault(format!("{obstacle:?}"));
            return Ok(match Failure::of_obstacle(obstacle) {
                Some(failure) => (Outcome::Failure(failure), told),
                None => (Outcome::Silent, told),
            });
        }
        let tool = answer.call.as_ref().map(|call| call.name.clone());
        Ok((Outcome::Answer(Box::new(answer), None), Answered::Step { number, tool }))
    }

    /// Counts a failure, unless there were `most` already.
    fn fails_again(&self, what: &str, most: u32) -> bool {
        let mut failed = locked(&self.failed);
        let count = failed.entry(what.to_owned()).or_default();
        let again = *count < most;
        *count += u32::from(again);
        again
    }
}

/// Scenario, agent and mode of a URL; a mode need not be there.
fn parts(prefix: &str) -> Result<(&str, &str, &str), String> {
    let parts: Vec<&str> = prefix.split('/').skip(1).collect();
    match parts[..] {
        ["s", scenario, agent, "m", mode, "l", _] | ["s", scenario, agent, "m", mode] => Ok((scenario, agent, mode)),
        ["s", scenario, agent] => Ok((scenario, agent, "ok")),
        _ => Err(format!("the URL begins with {prefix:?}, not with /s/SCENARIO/AGENT/m/MODE/l/LABEL")),
    }
}

fn streamed(
    id: usize,
    api: Api,
    conversation: &Conversation,
    answer: &Answer,
    fault: Option<Fault>,
) -> Response<Parts> {
    let named = |(name, data): &(&str, Value)| format!("event: {name}\ndata: {data}\n\n");
    let mut parts: Vec<String> = match api {
        Api::Messages => messages::events(id, conversation, answer).iter().map(named).collect(),
        Api::Responses => responses::events(id, conversation, answer).iter().map(named).collect(),
        Api::Chat => {
            let chunks = chat::chunks(id, conversation, answer).into_iter().map(|chunk| format!("data: {chunk}\n\n"));
            chunks.chain(["data: [DONE]\n\n".to_owned()]).collect()
        }
    };
    // The answer has begun: its first event, its first block or item, and in most cases some of that.
    let middle = 3.min(parts.len() - 1);
    let mut end = End::Whole;
    match fault {
        Some(Fault::SilentMidStream) => {
            parts.truncate(middle);
            end = End::Silent;
        }
        Some(Fault::DroppedMidStream) => {
            parts.truncate(middle);
            end = End::Dropped;
        }
        Some(Fault::OverloadedEvent) => {
            parts.truncate(1);
            parts.push(match api {
                Api::Messages => named(&messages::overloaded()),
                Api::Responses => named(&responses::overloaded(id, conversation)),
                Api::Chat => format!("data: {}\n\n", chat::overloaded()),
            });
        }
        Some(Fault::BadJson) => parts = vec!["event: message\ndata: {this is no JSON\n\n".into()],
        _ => {}
    }
    response(StatusCode::OK, "text/event-stream", Parts::new(parts, end))
}

fn at_once(id: usize, api: Api, conversation: &Conversation, answer: &Answer, fault: Option<Fault>) -> Response<Parts> {
    let body = match api {
        Api::Messages => messages::whole(id, conversation, answer),
        Api::Responses => responses::whole(id, conversation, answer),
        Api::Chat => chat::whole(id, conversation, answer),
    };
    let cut = |end| {
        let mut text = body.to_string();
        text.truncate(20);
        response(StatusCode::OK, "application/json", Parts::new([text], end))
    };
    match fault {
        Some(Fault::SilentMidStream) => cut(End::Silent),
        Some(Fault::DroppedMidStream) => cut(End::Dropped),
        Some(Fault::OverloadedEvent) => failed(&Failure::new(529, "Overloaded"), api),
        Some(Fault::BadJson) => cut(End::Whole),
        _ => whole(StatusCode::OK, &body),
    }
}

fn failed(failure: &Failure, api: Api) -> Response<Parts> {
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = whole(status, &failure.body(api));
    if let Some(time) = failure.retry_after {
        let headers = response.headers_mut();
        if time >= Duration::from_secs(1) {
            headers.insert("retry-after", time.as_secs().into());
        }
        headers.insert("retry-after-ms", u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into());
    }
    response
}

fn whole(status: StatusCode, body: &Value) -> Response<Parts> {
    response(status, "application/json", Parts::new([body.to_string()], End::Whole))
}

fn response(status: StatusCode, content_type: &'static str, body: Parts) -> Response<Parts> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type.parse().expect("a constant header"));
    response
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
