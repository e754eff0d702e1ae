//! Servers on the loopback address, which end with the test's process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

/// An HTTP server that notes the head of every request.
pub(crate) struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream, &noted)));
        Self { port, requests }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// The heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, noted: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    // A connection that sends nothing has only looked whether somebody listens.
    while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
    if head.is_empty() {
        return;
    }
    // A connection that is closed with something unread is reset, and the answer with it.
    if head.to_lowercase().contains("transfer-encoding: chunked") {
        let mut size = String::new();
        // Sizes and chunks take turns; the last size is 0.
        while reader.read_line(&mut size).is_ok_and(|read| read > 0) && size.trim() != "0" {
            let _ = reader.read_line(&mut head);
            size.clear();
        }
        // Then trailers, up to an empty line.
        size.clear();
        while reader.read_line(&mut size).is_ok_and(|read| read > 2) {
            head.push_str(&size);
            size.clear();
        }
    }
    noted.lock().unwrap().push(head.clone());
    let path = head.split(' ').nth(1).unwrap_or_default();
    if path == "/stall" {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart");
        // Until the other side has had enough.
        thread::spawn(move || reader.read(&mut [0]));
        return;
    }
    let answer = match path.split_once("?to=") {
        Some((_, to)) => format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
        None => {
            let body = if path.starts_with("/echo") { head.as_str() } else { "done" };
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }
    };
    let _ = stream.write_all(answer.as_bytes());
}

/// A server that answers what it is sent over TCP; its port.
pub(crate) fn echo_tcp() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 100];
            if let Ok(read) = stream.read(&mut buffer) {
                let _ =
                    stream.write_all(format!("tcp echo of {}", String::from_utf8_lossy(&buffer[..read])).as_bytes());
            }
        }
    });
    port
}

/// The same for datagrams. Before it answers, a datagram comes from a port of which nobody knows.
pub(crate) fn echo_udp() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((read, from)) = socket.recv_from(&mut buffer) {
            let _ = UdpSocket::bind("127.0.0.1:0").and_then(|other| other.send_to(b"from a stranger", from));
            let _ =
                socket.send_to(format!("udp echo of {}", String::from_utf8_lossy(&buffer[..read])).as_bytes(), from);
        }
    });
    port
}

/// A server that takes what is sent over one connection, and says nothing of sense; its port.
pub(crate) fn deaf() -> (u16, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = vec![0; 4_000];
        let read = stream.read(&mut received).unwrap();
        received.truncate(read);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        received
    });
    (port, received)
}
