//! One request: who asks, for what, and what becomes of it.

use super::answer::{self, Answer, done, later, said, set, standing};
use super::body::{self, NotTaken, Receiving};
use super::connections::Seat;
use super::ticket::{self, Ticket};
use super::uploads::{Turn, Upload, Uploads};
use super::{account, words};
use crate::settings::{Account, Https};
use crate::spool::{FileId, Inlet, Label, NotStored, Says};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, StatusCode};
use sluse_host::clock;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::DatasetName;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked which uploads are over.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What answers requests.
pub struct Service {
    accounts: Vec<Account>,
    max_bytes: u64,
    inlet: Arc<Inlet>,
    uploads: Arc<Uploads>,
    /// One upload begins at a time: of two to the same place the later one counts.
    beginning: Arc<tokio::sync::Mutex<()>>,
}

/// An answer other than the one that was hoped for.
type Answered<T> = Result<T, Answer>;

/// An upload that is asked for, by whose account it is, and whose turn was got.
struct Found {
    ticket: Ticket,
    upload: Upload,
    turn: Turn,
}

impl Service {
    /// Answers by the configuration.
    pub fn new(settings: Https, inlet: Arc<Inlet>, uploads: Uploads) -> Self {
        let (accounts, max_bytes) = (settings.accounts, settings.max_bytes);
        Self { accounts, max_bytes, inlet, uploads: Arc::new(uploads), beginning: Arc::default() }
    }

    /// Forgets uploads that are over, again and again.
    pub async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let uploads = Arc::clone(&self.uploads);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || uploads.sweep()).await {
                tracing::error!("what is known of old uploads cannot be removed: {error}");
            }
        }
    }

    /// Answers one request.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        certificate: Option<Sha256>,
        idle: Duration,
        seat: &Seat,
    ) -> Answer {
        let Some(at) = account::of(&self.accounts, request.headers(), certificate) else {
            tracing::warn!(%peer, "a request without a token or certificate that is known");
            let mut answer = said(StatusCode::UNAUTHORIZED, "a token or certificate that is known here is needed");
            set(&mut answer, "www-authenticate", "Bearer");
            set(&mut answer, "connection", "close");
            return answer;
        };
        let account = &self.accounts[at];
        if let Err(why) = seat.admit(at) {
            tracing::warn!(%peer, account = account.name, "has to wait: {why}");
            let mut answer = later(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}: come again later"));
            set(&mut answer, "connection", "close");
            return answer;
        }
        self.route(account, request, idle).await.unwrap_or_else(|answer| answer)
    }

    async fn route(&self, account: &Account, request: Request<Incoming>, idle: Duration) -> Answered<Answer> {
        let method = method(&request).ok_or_else(|| said(StatusCode::BAD_REQUEST, "no method"))?;
        let path = request.uri().path().to_owned();
        let path: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method.as_str(), &path[..]) {
            ("OPTIONS", ["uploads", ..]) => Ok(self.able()),
            ("POST", ["datasets", name, "complete"]) => self.complete(account, name).await,
            (_, ["datasets", _, "complete"]) => Err(not_allowed("POST")),
            (_, ["uploads", ..]) if words::text(request.headers(), "tus-resumable") != Some(words::VERSION) => {
                let line = "write the header Tus-Resumable: 1.0.0";
                let mut answer = said(StatusCode::PRECONDITION_FAILED, line);
                set(&mut answer, "tus-version", words::VERSION);
                Err(answer)
            }
            ("POST", ["uploads"]) => self.begin(account, request, idle).await,
            (_, ["uploads"]) => Err(not_allowed("POST, OPTIONS")),
            ("HEAD", ["uploads", ticket]) => Ok(self.tell(&self.find(account, ticket).await?.upload)),
            ("PATCH", ["uploads", ticket]) => {
                let found = self.find(account, ticket).await?;
                self.go_on(account, found, request, idle).await
            }
            ("DELETE", ["uploads", ticket]) => self.withdraw(account, self.find(account, ticket).await?).await,
            (_, ["uploads", _]) => Err(not_allowed("HEAD, PATCH, DELETE")),
            _ => Err(said(StatusCode::NOT_FOUND, "there are /uploads and /datasets/NAME/complete")),
        }
    }

    fn able(&self) -> Answer {
        let mut answer = done(StatusCode::NO_CONTENT);
        set(&mut answer, "tus-version", words::VERSION);
        set(&mut answer, "tus-extension", words::EXTENSIONS);
        set(&mut answer, "tus-checksum-algorithm", words::ALGORITHMS);
        set(&mut answer, "tus-max-size", &self.max_bytes.to_string());
        answer
    }

    /// A new upload, maybe with its first bytes.
    async fn begin(&self, account: &Account, request: Request<Incoming>, idle: Duration) -> Answered<Answer> {
        let headers = request.headers();
        let length = words::number(headers, "upload-length").map_err(answer::unfit)?;
        let words::Metadata { path, dataset } = words::metadata(headers).map_err(answer::unfit)?;
        if length > self.max_bytes {
            let line = format!("a file may have {} bytes", self.max_bytes);
            return Err(said(StatusCode::PAYLOAD_TOO_LARGE, &line));
        }
        self.inlet.check_space(length).map_err(|why| answer::not_stored(&why))?;
        let file = FileId::new().map_err(|error| answer::not_stored(&error.into()))?;
        let (name, flow, created) = (account.name.clone(), account.flow.clone(), clock::now());
        let ticket = Ticket { file, account: name, flow, path, dataset, length, created };
        let upload = self.remember(account, &ticket).await?;
        let sealed = self.uploads.seal().seal(&ticket).map_err(|error| answer::not_stored(&error.into()))?;
        let upload = if is_bytes(headers) {
            let turn = self.uploads.turn(file).await.ok_or_else(busy)?;
            self.go_on_from(account, Found { ticket, upload, turn }, request, idle).await?
        } else {
            upload
        };
        let mut answer = standing(done(StatusCode::CREATED), &upload, self.uploads.expires(&upload));
        set(&mut answer, "location", &format!("/uploads/{sealed}"));
        Ok(answer)
    }

    /// Makes a new upload known, and takes the place of one that was given up.
    async fn remember(&self, account: &Account, ticket: &Ticket) -> Answered<Upload> {
        let _one_at_a_time = self.beginning.lock().await;
        let keyed = |names: &[&str]| self.uploads.seal().keyed(names);
        let place = match &ticket.dataset {
            Some(dataset) => keyed(&["file", &ticket.account, dataset.as_str(), ticket.path.as_str()]),
            None => keyed(&["file", &ticket.account, ticket.path.as_str()]),
        };
        if let Some(before) = self.uploads.unfinished_at(place) {
            let turn = self.uploads.turn(before).await.ok_or_else(busy)?;
            if self.uploads.get(before).is_none_or(|upload| !upload.is_finished()) {
                self.forget(ticket.clone(), before, turn).await?;
            }
        }
        let account_key = keyed(&["account", &account.name]);
        if !self.uploads.has_room(account_key, account.uploads) {
            return Err(later(StatusCode::SERVICE_UNAVAILABLE, "too many uploads are not finished: come again later"));
        }
        let dataset = ticket.dataset.as_ref().map(|dataset| self.dataset(&ticket.account, dataset));
        let (length, account) = (ticket.length, Some(account_key));
        let upload = Upload { offset: 0, length, place, account, dataset, touched: clock::now() };
        let (inlet, uploads, ticket) = (Arc::clone(&self.inlet), Arc::clone(&self.uploads), ticket.clone());
        stored(move || {
            uploads.keep(ticket.file, upload)?;
            // A dataset waits for this file from now on, and one without bytes is whole.
            let (waits, whole) = (ticket.dataset.is_some(), ticket.length == 0);
            if (waits || whole)
                && let Err(why) = inlet.begin().and_then(|parcel| parcel.store(body::label(&ticket, 0, whole)))
            {
                uploads.forget(ticket.file)?;
                return Err(why);
            }
            Ok(upload)
        })
        .await
    }

    /// The upload of an address.
    async fn find(&self, account: &Account, sealed: &str) -> Answered<Found> {
        let unknown = || said(StatusCode::NOT_FOUND, "no such upload, or it is over: begin a new one");
        let ticket = self.uploads.seal().open(sealed).ok_or_else(unknown)?;
        if ticket.account != account.name || ticket.flow != account.flow {
            return Err(unknown());
        }
        let turn = self.uploads.turn(ticket.file).await.ok_or_else(busy)?;
        let upload = self.uploads.get(ticket.file).ok_or_else(unknown)?;
        Ok(Found { ticket, upload, turn })
    }

    fn tell(&self, upload: &Upload) -> Answer {
        let mut answer = standing(done(StatusCode::OK), upload, self.uploads.expires(upload));
        set(&mut answer, "upload-length", &upload.length.to_string());
        answer
    }

    /// More bytes of an upload.
    async fn go_on(
        &self,
        account: &Account,
        found: Found,
        request: Request<Incoming>,
        idle: Duration,
    ) -> Answered<Answer> {
        let headers = request.headers();
        if !is_bytes(headers) {
            let line = format!("write the header Content-Type: {}", words::BYTES);
            return Err(said(StatusCode::UNSUPPORTED_MEDIA_TYPE, &line));
        }
        let offset = words::number(headers, "upload-offset").map_err(answer::unfit)?;
        if offset != found.upload.offset {
            let answer = said(StatusCode::CONFLICT, "Upload-Offset is not where the upload stands");
            return Err(standing(answer, &found.upload, self.uploads.expires(&found.upload)));
        }
        let upload = self.go_on_from(account, found, request, idle).await?;
        Ok(standing(done(StatusCode::NO_CONTENT), &upload, self.uploads.expires(&upload)))
    }

    async fn go_on_from(
        &self,
        account: &Account,
        found: Found,
        request: Request<Incoming>,
        idle: Duration,
    ) -> Answered<Upload> {
        let Found { ticket, upload, turn } = found;
        let checksum = words::checksum(request.headers()).map_err(answer::unfit)?;
        let announced = words::number(request.headers(), "content-length").unwrap_or(0);
        if announced > upload.length - upload.offset {
            return Err(answer::not_taken(&NotTaken::TooMuch));
        }
        self.inlet.check_space(announced).map_err(|why| answer::not_stored(&why))?;
        let (inlet, uploads) = (Arc::clone(&self.inlet), Arc::clone(&self.uploads));
        let receiving = Receiving::new(inlet, uploads, ticket, upload, checksum, turn);
        let taken = receiving.receive(request.into_body(), idle).await;
        let (account, flow) = (&account.name, account.flow.as_str());
        match taken {
            Ok(upload) if upload.is_finished() => tracing::info!(account, flow, bytes = upload.length, "uploaded"),
            Ok(_) => {}
            Err(ref why) => tracing::info!(account, flow, "an upload was interrupted: {why}"),
        }
        taken.map_err(|why| answer::not_taken(&why))
    }

    async fn withdraw(&self, account: &Account, found: Found) -> Answered<Answer> {
        if found.upload.is_finished() {
            return Err(said(StatusCode::CONFLICT, "all of it is stored, and may be on its way already"));
        }
        let file = found.ticket.file;
        self.forget(found.ticket, file, found.turn).await?;
        tracing::info!(account = account.name, flow = account.flow.as_str(), "an upload was withdrawn");
        Ok(done(StatusCode::NO_CONTENT))
    }

    /// Takes back what was stored of `file`, which belongs where `ticket` does.
    async fn forget(&self, ticket: Ticket, file: FileId, turn: Turn) -> Answered<()> {
        let (inlet, uploads) = (Arc::clone(&self.inlet), Arc::clone(&self.uploads));
        stored(move || {
            let _turn = turn;
            let (group, dataset) = (ticket.group(), ticket.dataset);
            let label = Label { flow: ticket.flow, group, dataset, says: Says::Withdrawn { file } };
            inlet.begin_word()?.store(label)?;
            Ok(uploads.forget(file)?)
        })
        .await
    }

    /// Nothing more comes for a dataset.
    async fn complete(&self, account: &Account, name: &str) -> Answered<Answer> {
        let dataset = words::dataset(name).map_err(answer::unfit)?;
        let unfinished = self.uploads.unfinished_in(self.dataset(&account.name, &dataset));
        if unfinished > 0 {
            let line = format!("{unfinished} of its uploads are not finished: finish or delete them");
            return Err(said(StatusCode::CONFLICT, &line));
        }
        let (group, flow) = (ticket::group(&account.name, &dataset), account.flow.clone());
        let (inlet, label) =
            (Arc::clone(&self.inlet), Label { flow, group, dataset: Some(dataset), says: Says::Closed });
        stored(move || inlet.begin_word()?.store(label)).await?;
        tracing::info!(account = account.name, flow = account.flow.as_str(), "a dataset is complete");
        Ok(done(StatusCode::NO_CONTENT))
    }

    fn dataset(&self, account: &str, dataset: &DatasetName) -> Sha256 {
        self.uploads.seal().keyed(&["dataset", account, dataset.as_str()])
    }
}

/// What is asked for: the method, or what a client that has not all of them says instead.
fn method(request: &Request<Incoming>) -> Option<Method> {
    match request.headers().get("x-http-method-override") {
        Some(instead) => Method::from_bytes(instead.as_bytes()).ok(),
        None => Some(request.method().clone()),
    }
}

fn is_bytes(headers: &HeaderMap) -> bool {
    words::text(headers, "content-type") == Some(words::BYTES)
}

fn not_allowed(allow: &str) -> Answer {
    let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, &format!("this takes {allow}"));
    set(&mut answer, "allow", allow);
    answer
}

fn busy() -> Answer {
    later(StatusCode::LOCKED, "another request still brings bytes of this upload")
}

/// Does what waits for the disk on a thread of its own; it is done also when the client vanishes meanwhile.
async fn stored<T: Send + 'static>(work: impl FnOnce() -> Result<T, NotStored> + Send + 'static) -> Answered<T> {
    let ended = tokio::task::spawn_blocking(work).await;
    let ended = ended.unwrap_or_else(|error| Err(NotStored::Fault(std::io::Error::other(error))));
    ended.map_err(|why| answer::not_stored(&why))
}
