//! PEM files, read so that what is wrong with one is said with its name.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Section;
use crate::error::{Error, Result};

/// A setting that names a file, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) section: Section,
    /// `cert`, `key` or `ca`.
    pub(super) setting: &'static str,
    pub(super) path: &'a Path,
}

impl File<'_> {
    /// The certificates in the file, in its order: one at least.
    pub(super) fn certificates(self) -> Result<Vec<CertificateDer<'static>>> {
        let found: Result<Vec<_>, PemError> =
            CertificateDer::pem_slice_iter(&self.read()?).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(self.bad("holds no certificate: give a PEM file with BEGIN CERTIFICATE")),
            Err(error) => Err(self.bad(format!("is not PEM ({error}): copy or convert it anew"))),
        }
    }

    /// The private key in the file.
    pub(super) fn key(self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|error| match error {
            PemError::NoItemsFound => self
                .bad("holds no private key: give a PEM file with BEGIN PRIVATE KEY, not encrypted"),
            error => self.bad(format!("is not PEM ({error}): copy or convert it anew")),
        })
    }

    /// The certificates in the file, as authorities.
    pub(super) fn authorities(self) -> Result<RootCertStore> {
        let mut authorities = RootCertStore::empty();
        for certificate in self.certificates()? {
            authorities.add(certificate).map_err(|error| {
                self.bad(format!("holds what is no authority's certificate ({error})"))
            })?;
        }
        Ok(authorities)
    }

    pub(super) fn bad(self, reason: impl AsRef<str>) -> Error {
        let (section, path) = (self.section.name(), self.path.display());
        Error::bad_setting(format!("{section}.{} {path}", self.setting), reason.as_ref())
    }

    fn read(self) -> Result<Vec<u8>> {
        std::fs::read(self.path).map_err(|error| {
            self.bad(format!("cannot be read ({error}): is it there, and this user's to read?"))
        })
    }
}
