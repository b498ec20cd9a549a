//! Turns a PNG into a BMP: CGI, the picture in the body, `image/bmp` out.
//!
//! Eight bits a channel remain of deeper pictures; transparency is kept (a BMP of 32 bits a pixel).

use std::io;

use image::{DynamicImage, ImageFormat};
use luge_function_picture::{Answer, answer, decode, encode, read_body};

fn main() -> io::Result<()> {
    answer(|| {
        let (picture, _) = decode(&read_body()?, &[ImageFormat::Png])?;
        let picture = if picture.color().has_alpha() {
            DynamicImage::from(picture.into_rgba8())
        } else {
            DynamicImage::from(picture.into_rgb8())
        };
        Ok(Answer::picture(
            ImageFormat::Bmp,
            encode(&picture, ImageFormat::Bmp)?,
        ))
    })
}
