//! The keys of a store in a credential, as AWS's own tools write them. They have no `Debug` and no `Display`.

/// An access key.
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    /// Of temporary keys.
    pub(super) token: Option<String>,
}

impl Keys {
    /// Reads lines `aws_access_key_id = …`, `aws_secret_access_key = …` and, for temporary keys, `aws_session_token = …`; a
    /// `[profile]` may stand before them, other keys are not heeded. The error says what is wrong, never what is there.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is no text")?;
        let (mut id, mut secret, mut token) = (None, None, None);
        let mut profiles = 0;
        for line in text.lines().map(str::trim) {
            match line.bytes().next() {
                None | Some(b'#' | b';') => continue,
                Some(b'[') => profiles += 1,
                Some(_) => {}
            }
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.trim();
            let field = match name.trim().to_ascii_lowercase().as_str() {
                "aws_access_key_id" => &mut id,
                "aws_secret_access_key" => &mut secret,
                "aws_session_token" => &mut token,
                _ => continue,
            };
            if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!("{} is empty or holds what no key does", name.trim()));
            }
            *field = Some(value.to_owned());
        }
        if profiles > 1 {
            return Err("it holds more than one [profile]".to_owned());
        }
        Ok(Self {
            id: id.ok_or("it holds no line aws_access_key_id = KEY")?,
            secret: secret.ok_or("it holds no line aws_secret_access_key = SECRET")?,
            token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_the_tools_of_aws_write_them() {
        let keys =
            Keys::read(b"# ours\n[default]\naws_access_key_id = AKIA\naws_secret_access_key=a/b+c=\nregion = x\n")
                .unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str(), keys.token), ("AKIA", "a/b+c=", None));
        let keys = Keys::read(b"AWS_ACCESS_KEY_ID=A\r\nAWS_SECRET_ACCESS_KEY=B\r\nAWS_SESSION_TOKEN=C\r\n").unwrap();
        assert_eq!(keys.token.as_deref(), Some("C"));
    }

    #[test]
    fn what_is_wrong_is_said_and_what_is_there_is_not() {
        for (text, words) in [
            ("", "no line aws_access_key_id"),
            ("s3cret", "no line aws_access_key_id"),
            ("aws_access_key_id = s3cret", "no line aws_secret_access_key"),
            ("aws_access_key_id = s3cret word\naws_secret_access_key = x", "aws_access_key_id is empty or"),
            ("aws_access_key_id =\naws_secret_access_key = s3cret", "aws_access_key_id is empty or"),
            ("[a]\naws_access_key_id=s3cret\naws_secret_access_key=b\n[b]\naws_access_key_id=c", "more than one"),
        ] {
            let Err(error) = Keys::read(text.as_bytes()) else { panic!("{text:?} is taken") };
            assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
        }
        assert!(Keys::read(b"\xff").is_err());
    }
}
