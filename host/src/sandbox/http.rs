//! Outgoing HTTP of `wasi:http` 0.2 and 0.3: judged, given its secret header, and sent to an address that was judged.
//!
//! The host follows no redirect: what the server answers goes to the component, whose next request is judged anew. It
//! uses no proxy, keeps no connection for another request and no TLS session for another attempt.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header::HOST, uri::PathAndQuery};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, pki_types::ServerName},
};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, io::TokioIo};

use super::network::{HTTP, Network, NoAddress};
use crate::model::{GrantItem, HostPattern, HttpGrant, HttpTarget, Scheme};

/// How long each part of a request may take that the component sets no time for; the attempt's deadline holds anyway.
const PATIENCE: Duration = Duration::from_secs(600);
/// Characters of a method or an authority in messages.
const SHOWN: usize = 100;

/// What stands between a component's `wasi:http` and the network.
pub(super) struct HttpGate(pub(super) Arc<Network>);

/// What drives the connection that a response comes over.
type Driving = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Bytes of a body that wait for the network at once: the component's limit `memory` does not count them.
const CHUNK: usize = 16 << 10;

impl WasiHttpHooks for HttpGate {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // How the component liked the response: nobody else wants to know.
        _processed: Driving,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Driving), Error>> + Send> {
        let network = Arc::clone(&self.0);
        Box::new(async move {
            let (request, asked, addresses) = judged(&network, request).await?;
            send(request, &asked, &addresses, options.unwrap_or_default()).await
        })
    }
}

/// The request as it is sent, where it goes, and the addresses that it may go to.
async fn judged(
    network: &Network,
    mut request: Request<WasiBody>,
) -> Result<(Request<WasiBody>, HttpTarget, Vec<IpAddr>), Error> {
    let authority = request.uri().authority().map_or("", |authority| authority.as_str());
    let scheme = match request.uri().scheme_str() {
        Some("https") => Scheme::Https,
        Some("http") => Scheme::Http,
        _ => return Err(Error::HttpRequestUriInvalid),
    };
    let method = shown(request.method().as_str());
    let Ok(asked) = HttpTarget::asked(scheme, authority) else {
        let what = format!("{method} {}://{}, which is no host", scheme.as_str(), shown(authority));
        network.refuse(HTTP, &what, None);
        return Err(Error::HttpRequestDenied);
    };
    let what = format!("{method} {asked}");
    // One makes a tunnel to anywhere; the other has the server send back the headers, and a secret with them.
    if [Method::CONNECT, Method::TRACE].contains(request.method()) {
        network.refuse(HTTP, &format!("{what}, a method that nobody is granted"), None);
        return Err(Error::HttpRequestDenied);
    }
    let Some(headers) = network.granted().grants().http(&asked) else {
        network.refuse(HTTP, &what, Some(GrantItem::Http(HttpGrant::to(asked))));
        return Err(Error::HttpRequestDenied);
    };
    let addresses = network.http_addresses(&asked, &what).await.map_err(|error| match error {
        NoAddress::Refused => Error::DestinationIpProhibited,
        NoAddress::Unknown => Error::DnsError { rcode: None, info_code: None },
    })?;
    // The one that was judged, whatever the component wrote.
    let host = asked.to_string();
    let host = host.split_once("://").map_or(host.as_str(), |(_, host)| host);
    request.headers_mut().insert(HOST, HeaderValue::from_str(host).map_err(|_| Error::HttpRequestUriInvalid)?);
    let headers: Vec<_> = headers.into_iter().cloned().collect();
    network.sends(&what, &asked, &headers, &addresses);
    for header in &headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| Error::ConfigurationError)?;
        let value = network.granted().header(header).ok_or(Error::ConfigurationError)?;
        request.headers_mut().insert(name, value);
    }
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok((request, asked, addresses))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect::<String>().escape_debug().to_string()
}

async fn send(
    request: Request<WasiBody>,
    asked: &HttpTarget,
    addresses: &[IpAddr],
    options: RequestOptions,
) -> Result<(Response<WasiBody>, Driving), Error> {
    let patience = options.connect_timeout.unwrap_or(PATIENCE);
    let (mut sender, connection) =
        timeout(patience, connected(asked, addresses)).await.map_err(|_| Error::ConnectionTimeout)??;
    let mut connection = Some(Box::pin(connection));
    let response = {
        let patience = options.first_byte_timeout.unwrap_or(PATIENCE);
        let mut response = std::pin::pin!(timeout(patience, sender.send_request(request)));
        // The connection moves only while somebody asks it to.
        std::future::poll_fn(|context| {
            if let Some(driven) = &mut connection
                && driven.as_mut().poll(context).is_ready()
            {
                // However it ended: what it still brought is an answer, and its error is the answer's.
                connection = None;
            }
            response.as_mut().poll(context)
        })
        .await
    };
    let response = response.map_err(|_| Error::ConnectionReadTimeout)?.map_err(Error::from)?;
    let patience = options.between_bytes_timeout.unwrap_or(PATIENCE);
    let response = response.map(|body| Patient { body, patience, left: Box::pin(sleep(patience)) }.boxed_unsync());
    let driving = async move {
        match connection {
            Some(connection) => connection.await.map_err(Error::from),
            None => Ok(()),
        }
    };
    Ok((response, Box::new(driving)))
}

type Connection = http1::Connection<TokioIo<Box<dyn Stream>>, WasiBody>;

/// A connection to the first of `addresses` that takes one.
async fn connected(
    asked: &HttpTarget,
    addresses: &[IpAddr],
) -> Result<(http1::SendRequest<WasiBody>, Connection), Error> {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|address| SocketAddr::new(*address, asked.port)).collect();
    let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(Error::Connect)?;
    let stream: Box<dyn Stream> = match asked.scheme {
        Scheme::Http => Box::new(tcp),
        Scheme::Https => Box::new(TLS.connect(server_name(&asked.host)?, tcp).await.map_err(Error::Tls)?),
    };
    http1::handshake(TokioIo::new(stream)).await.map_err(Error::from)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Trusts what Mozilla trusts. Sessions are not resumed: a ticket would tell a server that two attempts are of one run.
static TLS: LazyLock<TlsConnector> = LazyLock::new(|| {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    #[expect(clippy::expect_used, reason = "the provider has what the versions need, whatever happens at run time")]
    let builder = builder.with_safe_default_protocol_versions().expect("ring has ciphers for TLS 1.2 and 1.3");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
});

fn server_name(host: &HostPattern) -> Result<ServerName<'static>, Error> {
    match host {
        HostPattern::Address(address) => Ok(ServerName::from(*address)),
        HostPattern::Name(name) | HostPattern::Below(name) => {
            ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)
        }
    }
}

/// A body that may pause only for so long.
struct Patient {
    body: Incoming,
    patience: Duration,
    left: Pin<Box<Sleep>>,
}

impl http_body::Body for Patient {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                let until = Instant::now() + self.patience;
                self.left.as_mut().reset(until);
                Poll::Ready(frame.map(|frame| frame.map_err(Error::from)))
            }
            Poll::Pending => {
                ready!(self.left.as_mut().poll(context));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
