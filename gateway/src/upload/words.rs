//! What tus says in headers. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use sluse_protocol::ids::DatasetName;
use sluse_protocol::path::DataPath;

/// The protocol's version: the only one there is.
pub const VERSION: &str = "1.0.0";

/// What is served of it beyond its core.
pub const EXTENSIONS: &str = "creation,creation-with-upload,termination,checksum,expiration";

/// How a body may be checked.
pub const ALGORITHMS: &str = "sha1,sha256";

/// The type of bodies that are bytes of a file.
pub const BYTES: &str = "application/offset+octet-stream";

/// What a request says that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A number is missing or none.
    #[error("{0} must be a whole number")]
    Number(&'static str),
    /// The metadata is not in tus' form.
    #[error("Upload-Metadata must be pairs of a key and a value in base64, between commas")]
    Metadata,
    /// No path for the file.
    #[error("Upload-Metadata needs filename: the file's relative path in its dataset, UTF-8 in base64")]
    Filename,
    /// No name of a dataset.
    #[error("the dataset's name cannot be taken")]
    Dataset,
    /// The checksum is none, or of another kind.
    #[error("Upload-Checksum must be sha1 or sha256 and the digest in base64")]
    Checksum,
}

/// What a client says of a file that it wants to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its path in the dataset.
    pub path: DataPath,
    /// The dataset that it belongs to; none where it is one of its own.
    pub dataset: Option<DatasetName>,
}

/// How a body is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// By what.
    pub algorithm: &'static aws_lc_rs::digest::Algorithm,
    /// What must come out.
    pub digest: Vec<u8>,
}

/// A header's text; none where it is not there, or no text.
pub fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A header's number.
///
/// # Errors
/// When it is not there, or none.
pub fn number(headers: &HeaderMap, name: &'static str) -> Result<u64, Unfit> {
    let digits = text(headers, name).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or(Unfit::Number(name))
}

/// The metadata of a new upload.
///
/// # Errors
/// When there is none that can be taken.
pub fn metadata(headers: &HeaderMap) -> Result<Metadata, Unfit> {
    let all = text(headers, "upload-metadata").ok_or(Unfit::Filename)?;
    let (mut path, mut dataset) = (None, None);
    for pair in all.split(',') {
        let (key, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        let slot = match key {
            "filename" => &mut path,
            "dataset" => &mut dataset,
            _ => continue,
        };
        let value = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if slot.replace(value.ok_or(Unfit::Metadata)?).is_some() {
            return Err(Unfit::Metadata);
        }
    }
    let path = path.and_then(|path| path.try_into().ok()).ok_or(Unfit::Filename)?;
    let dataset = dataset.map(|name| name.parse().map_err(|_| Unfit::Dataset)).transpose()?;
    Ok(Metadata { path, dataset })
}

/// How the body of a request is to be checked.
///
/// # Errors
/// When it cannot be.
pub fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Unfit> {
    let Some(told) = headers.get("upload-checksum") else { return Ok(None) };
    let told = told.to_str().ok().and_then(|told| told.trim().split_once(' ')).ok_or(Unfit::Checksum)?;
    let algorithm = match told.0 {
        "sha1" => &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => &aws_lc_rs::digest::SHA256,
        _ => return Err(Unfit::Checksum),
    };
    let digest = STANDARD.decode(told.1.trim()).map_err(|_| Unfit::Checksum)?;
    if digest.len() == algorithm.output_len() { Ok(Some(Checksum { algorithm, digest })) } else { Err(Unfit::Checksum) }
}

/// The name of a dataset as it stands in an address.
///
/// # Errors
/// When it is none.
pub fn dataset(escaped: &str) -> Result<DatasetName, Unfit> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'%' => {
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let byte = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                bytes.push(byte.ok_or(Unfit::Dataset)?);
            }
            plain => bytes.push(plain),
        }
    }
    String::from_utf8(bytes).ok().and_then(|name| name.parse().ok()).ok_or(Unfit::Dataset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    fn metadata_of(value: &str) -> Result<(String, Option<String>), Unfit> {
        let read = metadata(&said("upload-metadata", value))?;
        Ok((read.path.into(), read.dataset.map(|name| name.as_str().to_owned())))
    }

    #[test]
    fn metadata_is_a_path_and_maybe_a_dataset_and_the_rest_is_the_clients_own() {
        assert_eq!(metadata_of("filename YS9iLmNzdg=="), Ok(("a/b.csv".into(), None)));
        let both = "type dGV4dA==,filename YQ== , dataset bmlnaHRseQ==,done";
        assert_eq!(metadata_of(both), Ok(("a".into(), Some("nightly".into()))));
        for (wrong, why) in [
            ("", Unfit::Filename),
            ("name YQ==", Unfit::Filename),
            ("filename", Unfit::Filename),
            ("filename ???", Unfit::Metadata),
            ("filename YQ==,filename YQ==", Unfit::Metadata),
            ("filename Li4vYQ==", Unfit::Filename),
            ("filename L2E=", Unfit::Filename),
            ("filename YQpi", Unfit::Filename),
            ("filename YQ==,dataset Cg==", Unfit::Dataset),
        ] {
            assert_eq!(metadata_of(wrong), Err(why), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number(&said("upload-offset", "70"), "upload-offset"), Ok(70));
        for wrong in ["", "-1", "+1", "1.0", "0x1", "99999999999999999999"] {
            assert!(number(&said("upload-offset", wrong), "upload-offset").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_checksum_is_a_digest_of_its_kinds_length() {
        let sha1 = checksum(&said("upload-checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")).unwrap().unwrap();
        assert_eq!(sha1.digest.len(), 20);
        assert_eq!(checksum(&HeaderMap::new()), Ok(None));
        for wrong in
            ["", "sha1", "sha1 YQ==", "md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0="]
        {
            assert_eq!(checksum(&said("upload-checksum", wrong)), Err(Unfit::Checksum), "{wrong}");
        }
    }

    #[test]
    fn a_datasets_name_may_be_escaped() {
        assert_eq!(dataset("CT%20study").unwrap().as_str(), "CT study");
        for wrong in ["", "a%", "a%2", "a%zz", "%ff", "a%0Ab"] {
            assert_eq!(dataset(wrong), Err(Unfit::Dataset), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange_to_be_answered(bytes in prop::collection::vec(0x20..0x7fu8, 0..200)) {
            let value = String::from_utf8(bytes).unwrap();
            let _ = metadata(&said("upload-metadata", &value));
            let _ = checksum(&said("upload-checksum", &value));
            let _ = dataset(&value);
        }
    }
}
