//! A small server of a hospital's network: it exports the sample files of this repository as FHIR Bulk Data does, and answers as a data
//! capture system; it fails as it is told to.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// The token that it wants.
pub const TOKEN: &str = "of-good-news";

/// What is answered before the good answer of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the good answer.
    Nothing,
    /// This status, to be asked again at once.
    Status(u16),
    /// Busy for five minutes.
    Away,
    /// Half of the body.
    Cut,
    /// Half of the body, and the rest never comes.
    Stall,
}

/// What the server has, was asked, and does wrong.
#[derive(Debug, Default)]
pub struct Desk {
    /// Bodies by path.
    pub bodies: BTreeMap<String, Vec<u8>>,
    /// What is done wrong next, by path.
    pub faults: BTreeMap<String, Vec<Fault>>,
    /// Method, address and body of every request.
    pub asked: Vec<(String, String, String)>,
    /// The time of the export.
    pub time: String,
    /// Whether nothing is answered for now.
    pub waits: bool,
    /// Whether each file takes a second.
    pub slow: bool,
}

/// The server; it answers until the test ends.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
}

impl Server {
    /// Starts one with the sample export.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/fixtures");
        let mut bodies = BTreeMap::new();
        for name in ["Patient.000.ndjson", "Observation.000.ndjson"] {
            bodies.insert(format!("/files/{name}"), std::fs::read(fixtures.join(name)).expect("a sample"));
        }
        let gone = json!({"resourceType": "Bundle", "type": "transaction", "entry": []});
        let wrong = json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]});
        bodies.insert("/files/gone".into(), gone.to_string().into_bytes());
        bodies.insert("/files/wrong".into(), format!("{wrong}\n").into_bytes());
        let desk = Desk { bodies, time: "2026-11-22T01:00:00Z".into(), ..Desk::default() };
        let server = Self { address, desk: Arc::new(Mutex::new(desk)) };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // A client that vanished needs no answer.
                std::thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        server
    }

    /// What it has, was asked, and does wrong.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("no thread of it panics")
    }

    /// How often something was asked for.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.desk().asked.iter().filter(|(how, what, _)| how == method && what.split('?').next() == Some(path)).count()
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let (mut line, mut headers) = (String::new(), BTreeMap::new());
        lines.read_line(&mut line)?;
        loop {
            let mut header = String::new();
            lines.read_line(&mut header)?;
            match header.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
                None => break,
            };
        }
        let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        lines.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = target.split('?').next().unwrap_or_default();
        while self.desk().waits {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let fault = {
            let mut desk = self.desk();
            desk.asked.push((method.to_owned(), target.to_owned(), body.clone()));
            desk.faults.get_mut(path).filter(|left| !left.is_empty()).map(|left| left.remove(0))
        };
        let bearer = headers.get("authorization").is_some_and(|told| *told == format!("Bearer {TOKEN}"));
        let allowed = bearer || body.split('&').any(|field| field == format!("token={TOKEN}"));
        if path.starts_with("/files/") && self.desk().slow {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        let (status, more, answer) = match fault {
            Some(Fault::Away) => (503, "Retry-After: 300\r\n".to_owned(), Vec::new()),
            Some(Fault::Status(status)) => (status, "Retry-After: 0\r\n".to_owned(), Vec::new()),
            _ if path == "/token" => token(&body),
            _ if !allowed => (401, String::new(), Vec::new()),
            _ => self.answer(method, path, headers.get("prefer").map(String::as_str)),
        };
        let mut stream = stream;
        let length = answer.len();
        write!(stream, "HTTP/1.1 {status} So\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")?;
        match fault {
            Some(Fault::Cut) => stream.write_all(&answer[..length / 2]),
            Some(Fault::Stall) => {
                stream.write_all(&answer[..length / 2])?;
                // Until the client hangs up.
                stream.read_exact(&mut [0])
            }
            _ => stream.write_all(&answer),
        }
    }

    fn answer(&self, method: &str, path: &str, prefer: Option<&str>) -> (u16, String, Vec<u8>) {
        let desk = self.desk();
        match (method, path) {
            ("DELETE", _) => (202, String::new(), Vec::new()),
            (_, "/fhir/Group/1/$export") if prefer == Some("respond-async") => {
                (202, "Content-Location: /jobs/7\r\n".into(), Vec::new())
            }
            (_, "/jobs/7") => (200, String::new(), manifest(&desk, self.address).to_string().into_bytes()),
            (_, path) => match desk.bodies.get(path) {
                Some(body) => (200, String::new(), body.clone()),
                None => (404, String::new(), Vec::new()),
            },
        }
    }
}

/// What a server says to who asks for a token: one that is good for a second more than clients keep it.
fn token(form: &str) -> (u16, String, Vec<u8>) {
    let kind =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=ey";
    let good = form.starts_with("grant_type=client_credentials&scope=system%2F%2A.read&") && form.contains(kind);
    let given = json!({"access_token": TOKEN, "token_type": "bearer", "expires_in": 31});
    if good { (200, String::new(), given.to_string().into_bytes()) } else { (400, String::new(), Vec::new()) }
}

fn manifest(desk: &Desk, address: SocketAddr) -> Value {
    let entry = |kind: &str, name: &str| {
        let path = format!("/files/{name}");
        let lines = desk.bodies[&path].iter().filter(|byte| **byte == b'\n').count();
        json!({"type": kind, "url": format!("http://{address}{path}"), "count": lines})
    };
    json!({
        "transactionTime": desk.time,
        "request": format!("http://{address}/fhir/Group/1/$export"),
        "requiresAccessToken": true,
        "output": [entry("Patient", "Patient.000.ndjson"), entry("Observation", "Observation.000.ndjson")],
        "deleted": [{"type": "Bundle", "url": format!("http://{address}/files/gone")}],
        "error": [{"type": "OperationOutcome", "url": format!("http://{address}/files/wrong")}],
    })
}
