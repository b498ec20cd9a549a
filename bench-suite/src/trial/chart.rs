//! Latency against load, a line for each server: upwards on a logarithmic scale, as servers differ by powers of ten.

use plotters::prelude::*;

use crate::load::{COLOURS, ChartError, duration_text};

const SIZE: (u32, u32) = (960, 600);

/// A server's line.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: String,
    /// Load in percent, nanoseconds.
    pub(super) points: Vec<(f64, f64)>,
}

/// The lines as the text of an SVG file.
pub(super) fn loads(series: &[Series], title: &str) -> Result<String, ChartError> {
    if series.iter().all(|series| series.points.is_empty()) {
        return Err(ChartError::Empty);
    }
    let mut text = String::new();
    draw(&mut text, series, title).map_err(|error| ChartError::Draw(error.to_string()))?;
    Ok(text)
}

fn draw(text: &mut String, series: &[Series], title: &str) -> Result<(), Box<dyn std::error::Error>> {
    let points = series.iter().flat_map(|series| &series.points);
    let (mut least, mut most) = (f64::MAX, 1.0_f64);
    for (_, y) in points {
        least = least.min(y.max(1.0));
        most = most.max(*y);
    }
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..100.0, (least * 0.8..most * 1.25).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("load, % of capacity")
        .y_label_formatter(&|value| duration_text(*value as u64))
        .label_style(("sans-serif", 14))
        .draw()?;
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let points = || series.points.iter().copied();
        let style = colour.stroke_width(3);
        chart
            .draw_series(LineSeries::new(points(), style))?
            .label(&series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
        chart.draw_series(points().map(|point| Circle::new(point, 4, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 16))
        .legend_area_size(32)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(205, 205, 205))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_a_line() {
        let series = ["luge", "cgi"].map(|name| Series {
            name: name.to_owned(),
            points: vec![(0.0, 2e5), (50.0, 3e5), (95.0, 1e7)],
        });
        let text = loads(&series, "p99").expect("a drawing");
        assert!(text.starts_with("<svg") && text.contains("luge") && text.contains("cgi"));
        assert!(matches!(loads(&[], "p99"), Err(ChartError::Empty)));
    }
}
