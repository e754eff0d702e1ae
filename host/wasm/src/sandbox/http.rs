//! Outgoing HTTP of `wasi:http` 0.2 and 0.3: checked, given its secret header, and sent to an address that was checked.
//!
//! The host follows no redirects: the component gets the response, and its next request is checked again. It uses no proxy,
//! keeps no connection for another request and no TLS session for another attempt.

mod body;
mod connection;

use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header::HOST, uri::PathAndQuery};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use self::{
    body::{Outgoing, SendProgress, TimedBody},
    connection::{connect, exchange},
};
use super::network::{HTTP, LookupError, Network, Permit};
use crate::engine::HTTP_CHUNK;
use host_clock::timeout;
use host_model::{GrantItem, HttpGrant, HttpTarget, Scheme, SecretHeader};

/// The default timeout for each part of a request; the attempt's timeout applies anyway.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes of the host's memory that a pending request takes: a part of its body, and of the response.
const REQUEST_BYTES: u64 = (HTTP_CHUNK + connection::MAX_BUFFER_BYTES) as u64;
/// Characters of a method or an authority in messages.
const MAX_SHOWN_CHARS: usize = 100;

/// Checks the requests of a component's `wasi:http`.
pub(super) struct HttpGate(pub(super) Arc<Network>);

/// Drives the connection of a response.
type Driving = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for HttpGate {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        HTTP_CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        HTTP_CHUNK
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // Whether the component accepted the response is not used.
        _processed: Driving,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Driving), Error>> + Send> {
        let network = Arc::clone(&self.0);
        // Checked immediately, so that a denied request is not kept.
        let granted = GrantedRequest::new(&network, request);
        Box::new(async move { granted?.send(&network, options.unwrap_or_default()).await })
    }
}

/// A granted request.
struct GrantedRequest {
    request: Request<WasiBody>,
    target: HttpTarget,
    /// Its description in messages.
    what: String,
    headers: Vec<SecretHeader>,
    /// Its permit as a pending request.
    permit: Permit,
}

impl GrantedRequest {
    fn new(network: &Network, request: Request<WasiBody>) -> Result<Self, Error> {
        let authority = request.uri().authority().map_or("", |authority| authority.as_str());
        let scheme = match request.uri().scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            _ => return Err(Error::HttpRequestUriInvalid),
        };
        let method = truncated(request.method().as_str());
        let Ok(target) = HttpTarget::asked(scheme, authority) else {
            let what = format!("{method} {}://{}, which is not a valid host", scheme.as_str(), truncated(authority));
            network.refuse(HTTP, &what, None);
            return Err(Error::HttpRequestDenied);
        };
        let what = format!("{method} {target}");
        if is_forbidden_method(request.method()) {
            network.refuse(HTTP, &format!("{what}, a method that no grant allows"), None);
            return Err(Error::HttpRequestDenied);
        }
        let Some(headers) = network.granted().grants().http(&target) else {
            network.refuse(HTTP, &what, Some(GrantItem::Http(HttpGrant::to(target))));
            return Err(Error::HttpRequestDenied);
        };
        let headers = headers.into_iter().cloned().collect();
        let permit = network.permit(HTTP, &what, REQUEST_BYTES).ok_or(Error::ConnectionLimitReached)?;
        Ok(Self { request, target, what, headers, permit })
    }

    async fn send(self, network: &Network, options: RequestOptions) -> Result<(Response<WasiBody>, Driving), Error> {
        let Self { request, target, what, headers, permit } = self;
        // The host that was checked, whatever the component wrote.
        let host = target.to_string();
        let host = host.split_once("://").map_or(host.as_str(), |(_, host)| host);
        let mut written = vec![(HOST, HeaderValue::from_str(host).map_err(|_| Error::HttpRequestUriInvalid)?)];
        for header in &headers {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| Error::ConfigurationError)?;
            written.push((name, network.granted().header(header).ok_or(Error::ConfigurationError)?));
        }
        let progress = Arc::new(SendProgress::default());
        let reserved = written.iter().map(|(name, _)| name.clone()).collect();
        let mut request = request.map(|body| Outgoing::new(body, reserved, Arc::clone(&progress)));
        for (name, value) in written {
            request.headers_mut().insert(name, value);
        }
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
        let connecting = async {
            let addresses = addresses(network, &target, &what).await?;
            network.note_request(&what, &target, &headers, &addresses);
            connect(&target, &addresses).await
        };
        let limit = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let (sender, connection) = timeout(limit, connecting).await.map_err(|_| Error::ConnectionTimeout)??;
        let mut connection = Some(Box::pin(connection));
        let first = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let response = exchange(sender, &mut connection, request, &progress, first).await?;
        let between = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let permit = Arc::new(permit);
        let response = response.map(|body| TimedBody::new(body, first, between, Arc::clone(&permit)).boxed_unsync());
        let driving = async move {
            // Released after both the connection and the body are dropped.
            let _place = permit;
            match connection {
                Some(connection) => connection.await.map_err(Error::from),
                None => Ok(()),
            }
        };
        Ok((response, Box::new(driving)))
    }
}

async fn addresses(network: &Network, target: &HttpTarget, what: &str) -> Result<Vec<IpAddr>, Error> {
    network.http_addresses(target, what).await.map_err(|error| match error {
        LookupError::Refused => Error::DestinationIpProhibited,
        LookupError::Unknown => Error::DnsError { rcode: None, info_code: None },
        LookupError::TimedOut => Error::DnsTimeout,
        LookupError::TooMany => Error::ConnectionLimitReached,
    })
}

/// CONNECT opens a tunnel; the others make the server send back the headers, with a secret. Methods are case-sensitive, but
/// not every server respects that.
fn is_forbidden_method(method: &Method) -> bool {
    ["CONNECT", "TRACE", "TRACK"].iter().any(|refused| method.as_str().eq_ignore_ascii_case(refused))
}

fn truncated(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect::<String>().escape_debug().to_string()
}
