//! Resizes a picture: CGI, a PNG or JPEG in the body, the same format out.
//!
//! The size comes from the query string: `w=320&h=200` is exactly that; one of the two alone keeps the picture's proportions;
//! without either the answer is 128 by 128. Both are bounded by [`SIDE_MAX_OUT`], and what lies between the two passes of the
//! resampling by [`BETWEEN_PIXELS_MAX`]:
//!
//! ```text
//!   picture W x H  --columns-->  W x h, four floats a pixel  --rows-->  w x h
//! ```

use std::{env, io};

use image::{DynamicImage, ImageFormat, imageops::FilterType};
use luge_function_picture::{Answer, Refusal, answer, decode, encode, read_body};

/// The largest width and height that can be asked for, in pixels.
const SIDE_MAX_OUT: u32 = 2048;

/// The most pixels between the two passes: 64 MiB of four floats each.
const BETWEEN_PIXELS_MAX: u64 = 4 << 20;

/// Width and height where the query asks for neither, in pixels.
const SIDE_DEFAULT: u32 = 128;

fn main() -> io::Result<()> {
    answer(|| {
        let asked = Asked::from_query(&env::var("QUERY_STRING").unwrap_or_default())?;
        let (picture, format) = decode(&read_body()?, &[ImageFormat::Png, ImageFormat::Jpeg])?;
        let (width, height) = asked.size_for(picture.width(), picture.height());
        if u64::from(picture.width()) * u64::from(height) > BETWEEN_PIXELS_MAX {
            let largest = BETWEEN_PIXELS_MAX / u64::from(picture.width());
            return Err(Refusal::TooLarge(format!(
                "resizing to a height of {height} takes too much memory; this picture can be made at most {largest} high"
            )));
        }
        // The triangle filter widens with the factor, so that shrinking averages and does not drop pixels.
        let resized = picture.resize_exact(width, height, FilterType::Triangle);
        let resized = match format {
            ImageFormat::Jpeg => DynamicImage::from(resized.into_rgb8()),
            _ => resized,
        };
        Ok(Answer::picture(format, encode(&resized, format)?))
    })
}

/// The size that the client asked for, in pixels.
#[derive(Default)]
struct Asked {
    width: Option<u32>,
    height: Option<u32>,
}

impl Asked {
    /// Reads `w` and `h`; other parameters are nobody's fault and ignored.
    fn from_query(query: &str) -> Result<Self, Refusal> {
        let mut asked = Self::default();
        for (name, value) in query.split('&').filter_map(|parameter| parameter.split_once('=')) {
            match name {
                "w" => asked.width = Some(side(name, value)?),
                "h" => asked.height = Some(side(name, value)?),
                _ => {}
            }
        }
        Ok(asked)
    }

    /// Width and height for a picture of the given size.
    fn size_for(&self, width: u32, height: u32) -> (u32, u32) {
        match (self.width, self.height) {
            (Some(w), Some(h)) => (w, h),
            (Some(w), None) => (w, proportional(w, height, width)),
            (None, Some(h)) => (proportional(h, width, height), h),
            (None, None) => (SIDE_DEFAULT, SIDE_DEFAULT),
        }
    }
}

/// `side * over / under`, rounded, within the bounds.
fn proportional(side: u32, over: u32, under: u32) -> u32 {
    let under = u64::from(under.max(1));
    let rounded = (u64::from(side) * u64::from(over) + under / 2) / under;
    u32::try_from(rounded)
        .unwrap_or(SIDE_MAX_OUT)
        .clamp(1, SIDE_MAX_OUT)
}

/// One side from its text: a number of pixels from 1 to [`SIDE_MAX_OUT`].
fn side(name: &str, value: &str) -> Result<u32, Refusal> {
    value
        .parse()
        .ok()
        .filter(|side| (1..=SIDE_MAX_OUT).contains(side))
        .ok_or_else(|| {
            Refusal::BadRequest(format!(
                "`{name}` must be a number of pixels from 1 to {SIDE_MAX_OUT}"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, picture: (u32, u32), want: (u32, u32)) {
        let asked = Asked::from_query(query).expect("a good query");
        assert_eq!(asked.size_for(picture.0, picture.1), want, "{query}");
    }

    #[test]
    fn size_is_as_asked_or_proportional() {
        check("", (1280, 800), (128, 128));
        check("w=320&h=200", (10, 10), (320, 200));
        check("w=640", (1280, 800), (640, 400));
        check("h=1", (3, 2), (2, 1));
        check("x=5&h=100&w", (1280, 800), (160, 100));
    }

    #[test]
    fn proportional_size_stays_in_bounds() {
        check("w=1", (8192, 1), (1, 1));
        check("w=2048", (1, 8192), (2048, SIDE_MAX_OUT));
    }

    #[test]
    fn bad_sizes_are_refused() {
        for query in ["w=0", "w=2049", "h=-1", "h=", "w=1e3", "w=4294967297"] {
            assert!(
                matches!(Asked::from_query(query), Err(Refusal::BadRequest(_))),
                "{query}"
            );
        }
    }
}
