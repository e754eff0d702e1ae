//! TCP and UDP: sockets that connect, that listen, and that talk with themselves.

use std::net::IpAddr;

use wit_bindgen::StreamReader;

use crate::{
    beside,
    wasi::sockets::types::{
        ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket, UdpSocket,
    },
    wit_stream,
};

fn told(what: &str) -> impl Fn(ErrorCode) -> String {
    move |error| format!("{what}: {error:?}")
}

fn address(ip: &str, port: u16) -> IpSocketAddress {
    match ip.parse().expect("an address") {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) })
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h] = ip.segments();
            let address = (a, b, c, d, e, f, g, h);
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
        }
    }
}

fn family(address: &IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

fn tcp_bound(to: IpSocketAddress) -> Result<TcpSocket, String> {
    let socket = TcpSocket::create(family(&to)).map_err(told("socket"))?;
    socket.bind(to).map_err(told("bind"))?;
    Ok(socket)
}

fn udp_bound(to: IpSocketAddress) -> Result<UdpSocket, String> {
    let socket = UdpSocket::create(family(&to)).map_err(told("socket"))?;
    socket.bind(to).map_err(told("bind"))?;
    Ok(socket)
}

async fn connected(to: IpSocketAddress) -> Result<TcpSocket, String> {
    let socket = TcpSocket::create(family(&to)).map_err(told("socket"))?;
    socket.connect(to).await.map_err(told("connect"))?;
    Ok(socket)
}

/// Sends all of it and nothing after it.
async fn write(socket: &TcpSocket, data: Vec<u8>) -> Result<(), String> {
    let (mut contents, stream) = wit_stream::new();
    let writing = async move { drop(contents.write_all(data).await) };
    beside(vec![Box::pin(writing)], async { socket.send(stream).await }).await.map_err(told("send"))
}

/// Everything up to the end.
async fn read(socket: &TcpSocket) -> Result<Vec<u8>, String> {
    let (stream, ended) = socket.receive();
    let data = stream.collect().await;
    ended.await.map_err(told("receive"))?;
    Ok(data)
}

fn answer(asked: &[u8]) -> Vec<u8> {
    [b"echo of ", asked].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Connects, sends `ping` and returns what comes back.
pub(crate) async fn tcp(ip: &str, port: u16) -> Result<String, String> {
    let socket = connected(address(ip, port)).await?;
    write(&socket, b"ping".to_vec()).await?;
    Ok(text(&read(&socket).await?))
}

/// Sends `ping`, over a socket that is connected where that is allowed, and returns the first datagram that comes.
pub(crate) async fn udp(ip: &str, port: u16) -> Result<String, String> {
    let to = address(ip, port);
    let socket = UdpSocket::create(family(&to)).map_err(told("socket"))?;
    let remote = if socket.connect(to).is_ok() { None } else { Some(to) };
    socket.send(b"ping".to_vec(), remote).await.map_err(told("send"))?;
    Ok(text(&socket.receive().await.map_err(told("receive"))?.0))
}

async fn talk(listener: &TcpSocket, mut accepts: StreamReader<TcpSocket>) -> Result<String, String> {
    let own = listener.get_local_address().map_err(told("address"))?;
    let client = connected(own).await?;
    let served = accepts.next().await.ok_or("nobody came")?;
    write(&client, b"ping".to_vec()).await?;
    write(&served, answer(&read(&served).await?)).await?;
    Ok(format!("tcp {}", text(&read(&client).await?)))
}

/// Listens on a port of the system's choice, connects to it, and says what comes back.
pub(crate) async fn own_tcp(ip: &str) -> Result<String, String> {
    let listener = tcp_bound(address(ip, 0))?;
    let accepts = listener.listen().map_err(told("listen"))?;
    // Nobody else gets the port meanwhile.
    let own = listener.get_local_address().map_err(told("address"))?;
    let again = tcp_bound(own).map(|_| ()).unwrap_err();
    talk(&listener, accepts).await.map(|said| format!("{said}, again {again}"))
}

/// The same without a word of an address.
pub(crate) async fn unbound(like: &str) -> Result<String, String> {
    let listener = TcpSocket::create(family(&address(like, 0))).map_err(told("socket"))?;
    let accepts = listener.listen().map_err(told("listen"))?;
    let own = listener.get_local_address().map_err(told("address"))?;
    talk(&listener, accepts).await.map(|said| format!("{said} at {own:?}"))
}

/// The same with datagrams.
pub(crate) async fn own_udp(ip: &str) -> Result<String, String> {
    let server = udp_bound(address(ip, 0))?;
    let own = server.get_local_address().map_err(told("address"))?;
    let client = UdpSocket::create(family(&own)).map_err(told("socket"))?;
    client.send(b"ping".to_vec(), Some(own)).await.map_err(told("send"))?;
    let (data, sender) = server.receive().await.map_err(told("receive"))?;
    server.send(answer(&data), Some(sender)).await.map_err(told("send"))?;
    Ok(format!("udp {}", text(&client.receive().await.map_err(told("receive"))?.0)))
}

/// Connects to a port of its own that it has closed.
pub(crate) async fn closed_tcp(ip: &str) -> Result<String, String> {
    let listener = tcp_bound(address(ip, 0))?;
    drop(listener.listen().map_err(told("listen"))?);
    let own = listener.get_local_address().map_err(told("address"))?;
    drop(listener);
    connected(own).await.map(|_| "connected".into())
}

/// Sends to one.
pub(crate) async fn closed_udp(ip: &str) -> Result<String, String> {
    let own = udp_bound(address(ip, 0))?.get_local_address().map_err(told("address"))?;
    let client = UdpSocket::create(family(&own)).map_err(told("socket"))?;
    client.send(b"ping".to_vec(), Some(own)).await.map_err(told("send"))?;
    Ok("sent".into())
}

/// Gives back a port of its own while the socket is still there, as one that is disconnected does, and sends to it.
pub(crate) async fn disconnected_udp(ip: &str) -> Result<String, String> {
    let (server, client) = (udp_bound(address(ip, 0))?, udp_bound(address(ip, 0))?);
    let own = server.get_local_address().map_err(told("address"))?;
    client.send(b"ping".to_vec(), Some(own)).await.map_err(told("send"))?;
    server.connect(client.get_local_address().map_err(told("address"))?).map_err(told("connect"))?;
    server.disconnect().map_err(told("disconnect"))?;
    client.send(b"ping".to_vec(), Some(own)).await.map_err(told("send"))?;
    Ok("sent".into())
}

/// Binds, and gives the address back; again, where the port was the system's choice.
pub(crate) fn bind_tcp(ip: &str, port: u16) -> Result<String, String> {
    let first = tcp_bound(address(ip, port))?.get_local_address().map_err(told("address"))?;
    tcp_bound(first)?.listen().map_err(told("listen"))?;
    Ok("bound twice".into())
}

/// Binds a socket for datagrams.
pub(crate) fn bind_udp(ip: &str, port: u16) -> Result<String, String> {
    udp_bound(address(ip, port)).map(|_| "bound".into())
}

/// Answers one connection.
pub(crate) async fn serve_tcp(ip: &str, port: u16) -> Result<String, String> {
    let listener = tcp_bound(address(ip, port))?;
    let served = listener.listen().map_err(told("listen"))?.next().await.ok_or("nobody came")?;
    let data = read(&served).await?;
    write(&served, answer(&data)).await?;
    Ok(format!("served {}", text(&data)))
}

/// Answers one datagram.
pub(crate) async fn serve_udp(ip: &str, port: u16) -> Result<String, String> {
    let server = udp_bound(address(ip, port))?;
    let (data, sender) = server.receive().await.map_err(told("receive"))?;
    server.send(answer(&data), Some(sender)).await.map_err(told("send"))?;
    Ok(format!("served {}", text(&data)))
}
