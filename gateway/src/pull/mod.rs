//! Pulls: exports that the gateway fetches by itself, on a schedule, into the spool. They run in `intake`, which faces the hospital's
//! network: it has the public half of the spool's key, so that nothing is ever in the clear on disk.
//!
//! One thread for each pull, which asks one thing at a time. `http` is the client, `fhir` and `edc` are what is asked, `odm` is how
//! two documents are compared, `smart` how a token is asked for; `state` is what outlives the process.

mod edc;
mod fhir;
mod form;
mod http;
mod odm;
mod smart;
mod state;

pub use http::is_loopback;

use crate::settings::{Kind, Pull};
use crate::spool::Inlet;
use crate::{Error, keys, system};
use http::{Failure, Secret, Server};
use sluse_host::{clock, files};
use state::Kept;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// After a pull that failed, the next begins after this time, or after its usual one where that is shorter.
const AFTER_FAILURE: Duration = Duration::from_secs(900);

/// Fetches whatever is configured, each by its schedule.
///
/// # Errors
/// When a token or an authority cannot be used, or there is no room for threads.
pub fn start(pulls: Vec<Pull>, inlet: &Arc<Inlet>) -> Result<(), Error> {
    let folder = inlet.spool().pulls();
    files::create_folder(&folder, 0o700).map_err(Error::at(&folder))?;
    for pull in pulls {
        let kept = Kept::new(&folder, &pull.name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::fault("starting a pull"))?;
        let inlet = Arc::clone(inlet);
        // What is wrong with it is found out at the start, and not at night.
        server(&pull, Secret::None)?;
        system::thread("pull", move || runtime.block_on(again_and_again(&pull, &inlet, &kept)))?;
    }
    Ok(())
}

async fn again_and_again(pull: &Pull, inlet: &Arc<Inlet>, kept: &Kept) {
    let mut rest = first_rest(pull, kept);
    loop {
        tokio::time::sleep(rest).await;
        let (name, flow) = (&pull.name, pull.flow.as_str());
        rest = match once(pull, inlet, kept).await {
            Ok(bytes) => {
                tracing::info!(pull = name, flow, bytes, "fetched");
                pull.every
            }
            Err(why) => {
                let cause = std::error::Error::source(&why).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(pull = name, flow, cause, "not fetched, will try again: {why}");
                AFTER_FAILURE.min(pull.every)
            }
        };
    }
}

/// How long it is until a pull is due, after a start.
fn first_rest(pull: &Pull, kept: &Kept) -> Duration {
    // One whose state cannot be read says so when it runs.
    let Ok(Some(done)) = kept.read().map(|state| state.done) else { return Duration::ZERO };
    let since = u64::try_from(clock::now().unix().saturating_sub(done.unix())).unwrap_or(0);
    pull.every.saturating_sub(Duration::from_secs(since))
}

/// Fetches what there is; how many bytes.
async fn once(pull: &Pull, inlet: &Arc<Inlet>, kept: &Kept) -> Result<u64, Failure> {
    // Read each time: a token may be exchanged while this runs.
    let token =
        pull.token.as_deref().map(keys::token).transpose().map_err(|error| Failure::Refused(error.to_string()))?;
    let failed = |error: Error| Failure::Refused(error.to_string());
    let mut state = kept.read().map_err(|error| Failure::Spool(error.into()))?;
    let bytes = match &pull.kind {
        Kind::Fhir { incremental } => {
            let secret = asking(pull, token)?;
            let server = server(pull, secret).map_err(failed)?;
            fhir::fetch(pull, *incremental, &server, inlet, kept, &mut state).await?
        }
        Kind::Redcap { format, fields } => {
            // Its token stands in the form.
            let server = server(pull, Secret::None).map_err(failed)?;
            let token = token.unwrap_or_default();
            edc::fetch(pull, *format, edc::records(pull, *format, fields, &token), &server, inlet).await?
        }
        Kind::Odm => {
            let server = server(pull, token.map_or(Secret::None, Secret::Token)).map_err(failed)?;
            edc::fetch(pull, crate::settings::Format::Odm, edc::document(pull), &server, inlet).await?
        }
    };
    state.done = Some(clock::now());
    kept.keep(&state).map_err(|error| Failure::Spool(error.into()))?;
    Ok(bytes)
}

/// The secret of a FHIR server: a token that is there, or one that is asked for.
fn asking(pull: &Pull, token: Option<Zeroizing<String>>) -> Result<Secret, Failure> {
    let Some(smart) = &pull.smart else { return Ok(token.map_or(Secret::None, Secret::Token)) };
    let key = keys::credential(&smart.key).map_err(|error| Failure::Refused(error.to_string()))?;
    let (endpoint, id) = (smart.endpoint.clone(), smart.client.clone());
    let client = smart::Client::new(endpoint, id, smart.key_id.clone(), smart.scope.clone(), &key)?;
    Ok(Secret::Asked(Box::new(client)))
}

fn server(pull: &Pull, secret: Secret) -> Result<Server, Error> {
    Server::new(&pull.url, secret, pull.authority.as_deref(), pull.patience)
}
