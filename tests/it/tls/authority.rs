//! A private authority, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use larder::TlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use tempfile::TempDir;

/// The host in the addresses of all nodes here.
pub(crate) const HOST: &str = "127.0.0.1";

/// An authority, with a folder for what it signs.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// Until when a certificate is good.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    The4thMillennium,
    LongAgo,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        fs::write(authority.ca(), authority.issuer.pem()).unwrap();
        authority
    }

    /// Its own certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate for `host` in files that are called `name`, and this authority to know others
    /// by.
    pub(crate) fn sign(&self, name: &str, host: &str, until: Until) -> TlsConfig {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if let Until::LongAgo = until {
            (params.not_before, params.not_after) =
                (date_time_ymd(2_001, 1, 1), date_time_ymd(2_002, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let config = TlsConfig::new(
            self.folder().join(format!("{name}.pem")),
            self.folder().join(format!("{name}.key")),
        );
        fs::write(&config.cert, signed.pem()).unwrap();
        fs::write(&config.key, key.serialize_pem()).unwrap();
        config.ca(self.ca())
    }

    /// As [`sign`](Self::sign), for all nodes here and for long.
    pub(crate) fn good(&self, name: &str) -> TlsConfig {
        self.sign(name, HOST, Until::The4thMillennium)
    }
}
