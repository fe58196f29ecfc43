//! One image on its way into the spool. Whatever goes wrong, the rest of it is read and dropped, so that the caller hears why.

use super::command::Status;
use super::negotiation::{Agreed, Context};
use super::part10;
use super::study::{Finder, Found};
use crate::spool::{Ends, FileId, Inlet, Label, NotStored, Parcel, Says};
use std::sync::Arc;

/// An image that is being received.
pub struct Store<'a> {
    agreed: &'a Agreed,
    context: &'a Context,
    instance: String,
    finder: Finder,
    /// The parcel, or why there is none.
    parcel: Result<Parcel, Status>,
}

impl<'a> Store<'a> {
    /// Begins one.
    pub fn begin(inlet: &Arc<Inlet>, agreed: &'a Agreed, context: &'a Context, class: &str, instance: String) -> Self {
        let finder = Finder::new(&context.syntax);
        let mut store =
            Self { agreed, context, instance, finder, parcel: inlet.begin().map_err(|error| status(&error)) };
        if class != context.class {
            store.parcel = Err(Status::DoesNotMatch);
        }
        let head = part10::head(agreed, context, &store.instance);
        store.write(&head);
        store
    }

    /// Takes the next bytes of the data set.
    pub fn take(&mut self, bytes: &[u8]) {
        self.finder.feed(bytes);
        self.write(bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Ok(parcel) = &mut self.parcel
            && let Err(error) = parcel.write(bytes)
        {
            self.parcel = Err(status(&error));
        }
    }

    /// The image is whole: makes it durable. Success means that it is.
    pub fn finish(self) -> Status {
        self.store().err().unwrap_or(Status::Success)
    }

    fn store(self) -> Result<(), Status> {
        let parcel = self.parcel?;
        let found = self.finder.finish().ok_or(Status::CannotUnderstand)?;
        let Found { class, instance, study: Some(study), series: Some(series), .. } = found else {
            return Err(Status::CannotUnderstand);
        };
        let same = |own: Option<String>, told: &str| own.is_none_or(|own| own == told);
        if !same(class, &self.context.class) || !same(instance, &self.instance) {
            return Err(Status::DoesNotMatch);
        }
        let path = format!("{series}/{}.dcm", self.instance).parse().map_err(|_| Status::CannotUnderstand)?;
        let file = FileId::new().map_err(|error| status(&error.into()))?;
        let ends = Some(Ends::of(path, sluse_host::clock::now()));
        let says = Says::Part { file, offset: 0, ends };
        let label = Label { flow: self.agreed.entity.flow.clone(), group: study, dataset: None, says };
        parcel.store(label).map(drop).map_err(|error| status(&error))
    }
}

fn status(error: &NotStored) -> Status {
    match error {
        NotStored::Full => {
            tracing::warn!("an image was refused: {error}");
            Status::OutOfResources
        }
        NotStored::Fault(cause) => {
            tracing::error!("an image was refused: {error}: {cause}");
            Status::ProcessingFailure
        }
    }
}
