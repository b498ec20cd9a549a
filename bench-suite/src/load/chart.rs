//! The distribution of latencies as a drawing.
//!
//! The horizontal axis counts nines, so that the tail, which is what matters, gets as much room as the rest: 90 % is at 1,
//! 99 % at 2, 99.9 % at 3, quantile q at -log10(1 - q). The vertical axis is logarithmic. A strong line shows latency from the
//! intended start, a dashed one of the same colour latency from the send: where the two part, requests waited before
//! they were sent.

use hdrhistogram::Histogram;
use plotters::prelude::*;

use super::report::{ClassReport, Report};
use super::units::duration_text;

const SIZE: (u32, u32) = (960, 600);
/// Points a nine.
const STEPS: u32 = 50;
/// Nines that are shown at most.
const NINES_MAX: f64 = 6.0;

/// Colours of series, told apart by people who see few colours as well.
pub(crate) const COLOURS: [RGBColor; 8] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
    RGBColor(23, 150, 170),
    RGBColor(140, 86, 75),
    RGBColor(90, 90, 90),
];

/// Why there is no drawing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// No request was answered.
    #[error("there are no latencies to draw")]
    Empty,
    /// The drawing library failed: a bug of ours.
    #[error("cannot draw: {0}")]
    Draw(String),
}

/// The report's latencies as the text of an SVG file.
///
/// # Errors
/// [`ChartError::Empty`] when there are none.
pub fn svg(report: &Report, title: &str) -> Result<String, ChartError> {
    let drawn: Vec<_> = report
        .classes
        .iter()
        .filter(|class| class.latency.count > 0)
        .collect();
    if drawn.is_empty() {
        return Err(ChartError::Empty);
    }
    let mut text = String::new();
    draw(&mut text, &drawn, title).map_err(|error| ChartError::Draw(error.to_string()))?;
    Ok(text)
}

fn draw(text: &mut String, classes: &[&ClassReport], title: &str) -> Result<(), Box<dyn std::error::Error>> {
    let curves: Vec<_> = classes.iter().map(|class| (class, curves(class))).collect();
    let values = curves.iter().flat_map(|(_, curves)| curves.iter().flatten());
    let (mut nines, mut least, mut most) = (2.0_f64, f64::MAX, 0.0_f64);
    for (x, y) in values {
        nines = nines.max(*x);
        least = least.min(*y);
        most = most.max(*y);
    }
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..nines, (least * 0.8..most * 1.25).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("percentile")
        .y_desc("latency")
        .axis_desc_style(("sans-serif", 18))
        .label_style(("sans-serif", 16))
        .x_labels(nines.ceil() as usize + 1)
        .x_label_formatter(&|nines| percentile(*nines))
        .y_label_formatter(&|nanoseconds| duration_text(*nanoseconds as u64))
        .light_line_style(RGBColor(235, 235, 235))
        .bold_line_style(RGBColor(205, 205, 205))
        .draw()?;
    for (colour, (class, [intended, sent])) in COLOURS.iter().cycle().zip(curves) {
        let strong = colour.stroke_width(3);
        let label = format!("{} (from intended start)", class.name);
        chart
            .draw_series(LineSeries::new(intended, strong))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], strong));
        let thin = colour.stroke_width(1);
        let label = format!("{} (from send)", class.name);
        chart
            .draw_series(DashedLineSeries::new(sent, 5, 3, thin))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], thin));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(("sans-serif", 16))
        .legend_area_size(32)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(205, 205, 205))
        .draw()?;
    root.present()?;
    Ok(())
}

/// Latency from the intended start and from the send.
fn curves(class: &ClassReport) -> [Vec<(f64, f64)>; 2] {
    let latency = &class.record.latency;
    [&latency.intended, &latency.sent].map(curve)
}

/// Points (nines, nanoseconds) up to the last nine that the number of values supports.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let last = (histogram.len().max(1) as f64).log10().min(NINES_MAX);
    let steps = (last * f64::from(STEPS)) as u32;
    let point = |step: u32| {
        let nines = f64::from(step) / f64::from(STEPS);
        let value = histogram.value_at_quantile(1.0 - 10_f64.powf(-nines));
        (nines, value.max(1) as f64)
    };
    if histogram.is_empty() {
        Vec::new()
    } else {
        (0..=steps).map(point).collect()
    }
}

/// A number of nines as a percentage: `0 %`, `90 %`, `99.9 %`.
fn percentile(nines: f64) -> String {
    let decimals = (nines.ceil() as usize).saturating_sub(2);
    format!("{:.decimals$} %", 100.0 - 10_f64.powf(2.0 - nines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_read_as_percentages() {
        let shown: Vec<_> = [0.0, 1.0, 2.0, 3.0, 5.0].map(percentile).into();
        assert_eq!(shown, ["0 %", "90 %", "99 %", "99.9 %", "99.999 %"]);
    }

    #[test]
    fn a_curve_ends_where_its_values_do() {
        let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
        assert!(curve(&histogram).is_empty());
        for value in 1..=1000 {
            histogram.record(value * 1000).expect("in range");
        }
        let points = curve(&histogram);
        assert!((points.last().expect("points").0 - 3.0).abs() < 0.03);
        let at = |nines: f64| {
            points
                .iter()
                .find(|(x, _)| *x >= nines - 1e-9)
                .expect("a point")
                .1
        };
        assert!((at(1.0) - 900_000.0).abs() < 3000.0, "{}", at(1.0));
        assert!((at(2.0) - 990_000.0).abs() < 3000.0, "{}", at(2.0));
        assert!(points.is_sorted_by(|a, b| a.1 <= b.1));
    }
}
