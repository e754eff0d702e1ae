//! A connection for one request.

use std::{
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, LazyLock},
    task::Poll,
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, pki_types::ServerName},
};
use wasmtime_wasi_http::{Error, io::TokioIo};

use super::body::{Outgoing, SendProgress, WaitTimer};
use host_model::{HostPattern, HttpTarget, Scheme};

/// Bytes that a connection may buffer, and the longest head of a response.
pub(super) const MAX_BUFFER_BYTES: usize = 128 << 10;

pub(super) type Connection = http1::Connection<TokioIo<Box<dyn Stream>>, Outgoing>;

/// A connection to the first of `addresses` that accepts one.
pub(super) async fn connect(
    target: &HttpTarget,
    addresses: &[IpAddr],
) -> Result<(http1::SendRequest<Outgoing>, Connection), Error> {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|address| SocketAddr::new(*address, target.port)).collect();
    let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(Error::Connect)?;
    let stream: Box<dyn Stream> = match target.scheme {
        Scheme::Http => Box::new(tcp),
        Scheme::Https => Box::new(TLS.connect(server_name(&target.host)?, tcp).await.map_err(Error::Tls)?),
    };
    handshake(stream).await
}

async fn handshake(stream: Box<dyn Stream>) -> Result<(http1::SendRequest<Outgoing>, Connection), Error> {
    http1::Builder::new().max_buf_size(MAX_BUFFER_BYTES).handshake(TokioIo::new(stream)).await.map_err(Error::from)
}

/// Sends `request` and waits for the head of its response. The server may take `limit` for each part of the body, and for
/// its response; time that the component takes for the parts does not count. `connection` is `None` afterwards if it has
/// ended.
pub(super) async fn exchange(
    mut sender: http1::SendRequest<Outgoing>,
    connection: &mut Option<Pin<Box<Connection>>>,
    request: Request<Outgoing>,
    progress: &SendProgress,
    limit: Duration,
) -> Result<Response<Incoming>, Error> {
    let mut response = pin!(sender.send_request(request));
    let (mut timer, mut frames) = (WaitTimer::new(limit), 0);
    // The connection progresses only while it is polled.
    poll_fn(|context| {
        if let Some(driven) = connection
            && driven.as_mut().poll(context).is_ready()
        {
            // A response may have arrived before the end; otherwise the response carries the error.
            *connection = None;
        }
        if let Poll::Ready(response) = response.as_mut().poll(context) {
            return Poll::Ready(response.map_err(Error::from));
        }
        let waits = progress.waits_for_component();
        if waits || frames != progress.frames() {
            frames = progress.frames();
            timer.stop();
        }
        if waits { Poll::Pending } else { timer.poll(context).map(|()| Err(Error::ConnectionReadTimeout)) }
    })
    .await
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Trusts Mozilla's roots. Sessions are not resumed: a ticket would link two attempts of one run.
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body::{Body, Frame};
    use http_body_util::BodyExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::mpsc,
        time::sleep,
    };

    use super::*;

    const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

    /// A body that brings what is sent to it.
    struct ChannelBody(mpsc::UnboundedReceiver<Bytes>);

    impl Body for ChannelBody {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
        }
    }

    /// What `server` answers to a request whose body is what `component` brings.
    async fn status<S: Future<Output = ()> + Send + 'static, C: Future<Output = ()> + Send + 'static>(
        component: impl FnOnce(mpsc::UnboundedSender<Bytes>) -> C,
        server: impl FnOnce(DuplexStream) -> S,
    ) -> Result<u16, Error> {
        let (ours, theirs) = duplex(1 << 10);
        let (request_sender, connection) = handshake(Box::new(ours)).await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let progress = Arc::new(SendProgress::default());
        let body = Outgoing::new(ChannelBody(receiver).boxed_unsync(), Vec::new(), Arc::clone(&progress));
        tokio::spawn(component(sender));
        tokio::spawn(server(theirs));
        let mut connection = Some(Box::pin(connection));
        let response = exchange(
            request_sender,
            &mut connection,
            Request::post("/").body(body).unwrap(),
            &progress,
            DEFAULT_TIMEOUT,
        );
        response.await.map(|response| response.status().as_u16())
    }

    /// Reads a whole request and answers it.
    async fn answers(mut stream: DuplexStream) {
        let mut read = Vec::new();
        while !read.ends_with(b"0\r\n\r\n") {
            let mut more = [0; 100];
            let count = stream.read(&mut more).await.unwrap();
            read.extend_from_slice(&more[..count]);
        }
        sleep(DEFAULT_TIMEOUT / 2).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_request_body_does_not_time_out_the_server() {
        let slow = async |sender: mpsc::UnboundedSender<Bytes>| {
            for _ in 0..3 {
                sleep(3 * DEFAULT_TIMEOUT).await;
                sender.send(Bytes::from_static(b"part")).unwrap();
            }
            sleep(3 * DEFAULT_TIMEOUT).await;
        };
        assert_eq!(status(slow, answers).await.unwrap(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_read_or_respond_times_out() {
        let one = async |sender: mpsc::UnboundedSender<Bytes>| sender.send(Bytes::from_static(b"part")).unwrap();
        let much = async |sender: mpsc::UnboundedSender<Bytes>| {
            for _ in 0..100 {
                let _ = sender.send(Bytes::from_static(&[b'x'; 16 << 10]));
            }
            sleep(100 * DEFAULT_TIMEOUT).await;
        };
        let deaf = async |stream: DuplexStream| {
            sleep(100 * DEFAULT_TIMEOUT).await;
            drop(stream);
        };
        let dumb =
            async |mut stream: DuplexStream| while stream.read(&mut [0; 100]).await.is_ok_and(|read| read > 0) {};
        assert!(matches!(status(much, deaf).await, Err(Error::ConnectionReadTimeout)));
        assert!(matches!(status(one, dumb).await, Err(Error::ConnectionReadTimeout)));
    }
}
