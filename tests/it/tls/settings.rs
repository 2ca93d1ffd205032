//! Settings that cannot work: each is told with the file and the fix.

use std::fs;

use larder::{Error, HttpPool, TlsConfig};

use super::authority::{Authority, HOST};

/// Why a node with these files does not start.
fn refusal(peer: Option<TlsConfig>, api: Option<TlsConfig>) -> String {
    let mut builder = HttpPool::builder().listen(&format!("{HOST}:0"));
    builder = builder.api(&format!("{HOST}:0"));
    if let Some(tls) = peer {
        builder = builder.peer_tls(tls);
    }
    if let Some(tls) = api {
        builder = builder.api_tls(tls);
    }
    let error = builder.start().unwrap_err();
    assert!(matches!(error, Error::BadSetting { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_name() {
    let authority = Authority::new("ring");
    let (good, other) = (authority.good("good"), authority.good("other"));
    let path = |name: &str, text: &str| {
        let path = authority.folder().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let missing = authority.folder().join("missing");
    let nothing = path("nothing", "nothing here\n");
    let garbage = path("garbage", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let no_der = path("der", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (files, words) in [
        (TlsConfig::new(&missing, &good.key), &["peer_tls.cert", "missing", "cannot be read"][..]),
        (TlsConfig::new(&nothing, &good.key), &["peer_tls.cert", "nothing", "no certificate"]),
        (TlsConfig::new(&garbage, &good.key), &["peer_tls.cert", "garbage", "not PEM"]),
        (TlsConfig::new(&no_der, &good.key), &["peer_tls.cert", "der", "cannot be used"]),
        (TlsConfig::new(&good.cert, &missing), &["peer_tls.key", "missing", "cannot be read"]),
        (TlsConfig::new(&good.cert, &good.cert), &["peer_tls.key", "good.pem", "no private key"]),
        (
            TlsConfig::new(&good.cert, &other.key),
            &["peer_tls.key", "other.key", "does not belong", "good.pem"],
        ),
        (TlsConfig::new(&good.cert, &good.key).ca(&nothing), &["peer_tls.ca", "no certificate"]),
        (TlsConfig::new(&good.cert, &good.key).ca(&no_der), &["peer_tls.ca", "no authority's"]),
    ] {
        let ca = files.ca.clone().unwrap_or(authority.ca());
        let error = refusal(Some(files.ca(ca)), None);
        for word in words {
            assert!(error.contains(word), "{word} is missing in {error}");
        }
    }
}

#[test]
fn an_authority_is_asked_for_where_it_is_needed() {
    let authority = Authority::new("ring");
    let good = authority.good("good");
    let error = refusal(Some(TlsConfig::new(&good.cert, &good.key)), None);
    assert!(error.contains("peer_tls.ca") && error.contains("is needed"), "{error}");
    let asks =
        TlsConfig::new(&good.cert, &good.key).with_client_certs(larder::ClientCerts::Optional);
    let error = refusal(None, Some(asks));
    assert!(error.contains("api_tls.ca") && error.contains("is needed"), "{error}");
}

#[test]
fn peers_of_the_other_scheme_are_refused_by_their_name() {
    let authority = Authority::new("ring");
    let listen = format!("{HOST}:0");
    let builder = HttpPool::builder().listen(&listen).peer_tls(authority.good("node"));
    let secure = builder.start().unwrap();
    let plain = HttpPool::bind("http://127.0.0.1:0").unwrap();
    for (pool, other) in [(&secure, "http://10.0.0.1:1"), (&plain, "https://10.0.0.1:1")] {
        let error = pool.set_peers([pool.url(), other]).unwrap_err().to_string();
        assert!(error.contains(other) && error.contains("peer_tls"), "{error}");
    }
}
