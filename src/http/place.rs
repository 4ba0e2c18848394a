//! A URL that requests may go to.

use reqwest::Url;

/// A URL of the backend's own origin, made by [`super::Client`] alone: the credential goes nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Url);

impl Place {
    /// The place of a URL, relative to `base`; the error is the end of a sentence.
    pub(super) fn of(own: &Url, base: &Url, text: &str) -> Result<Self, String> {
        let mut url = base.join(text).map_err(|error| format!("no URL ({error})"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("a {} URL", url.scheme()));
        }
        if url.origin() != own.origin() {
            return Err(format!("on another origin, {}", url.origin().ascii_serialization()));
        }
        if !is_anonymous(&url) {
            return Err("a URL with a user in it".to_owned());
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

pub(super) fn is_anonymous(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_origin_is_a_place() {
        let own = Url::parse("https://up.example/files/").unwrap();
        let place = |text: &str| Place::of(&own, &own, text);
        assert_eq!(place("abc?x=1#y").unwrap().as_str(), "https://up.example/files/abc?x=1");
        assert_eq!(place("/abc").unwrap().as_str(), "https://up.example/abc");
        assert_eq!(place("//up.example:443/abc").unwrap().as_str(), "https://up.example/abc");
        for other in [
            "http://up.example/files/abc",
            "//up.example.evil/abc",
            "https://up.example:444/",
            "https://u:p@up.example/",
        ] {
            assert!(place(other).is_err(), "{other}");
        }
        assert!(place("file:///etc/passwd").is_err());
        assert!(place("https://").is_err());
    }
}
