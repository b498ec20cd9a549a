//! The figures as a drawing: for each number of cores, what was not served in time and how long the short function took.
//!
//! ```text
//!            not served in time             p99 of the short function
//!   2 cores  100 % ┤      ╱ fifo            10 ms ┤   ╱──── fifo
//!              0 % ┼─────┴── edf           0.1 ms ┼──────── edf          x: load
//! ```
//!
//! Refused requests count as not served: a policy that refuses much is not better than one that is late. Latencies are on a
//! logarithmic axis. Colours are those of M. Okabe and K. Ito ("Color universal design", 2008).

use std::error::Error;
use std::time::Duration;

use luge_shards::PolicyKind;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Point;
use super::table::time;

const WIDTH: u32 = 1200;
const ROW_HEIGHT: u32 = 380;
const FONT: &str = "Helvetica, Arial, sans-serif";
const GRID: RGBColor = RGBColor(222, 222, 222);

const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Curve = (PolicyKind, Vec<(f64, f64)>);

/// The text of an SVG file.
pub(super) fn svg(points: &[Point], title: &str) -> Result<String, Box<dyn Error>> {
    let mut cores: Vec<usize> = points.iter().map(|point| point.cores).collect();
    cores.dedup();
    let mut text = String::new();
    {
        let size = (WIDTH, ROW_HEIGHT * cores.len() as u32);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)?;
        let areas = root.split_evenly((cores.len(), 2));
        for (areas, &cores) in areas.chunks(2).zip(&cores) {
            let row: Vec<&Point> = points.iter().filter(|point| point.cores == cores).collect();
            let name = format!("{title}, {cores} cores");
            failures(&areas[0], &row, &format!("{name}: not served in time"))?;
            latencies(&areas[1], &row, &format!("{name}: p99 of the short function"))?;
        }
        root.present()?;
    }
    Ok(text)
}

fn failures(area: &Area<'_>, points: &[&Point], title: &str) -> Result<(), Box<dyn Error>> {
    let curves = curves(points, |point| Some(point.tally.all().failure_rate() * 100.0));
    let most = highest(&curves).max(1.0);
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 18))
        .margin(14)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(loads(points), 0.0..most * 1.05)?;
    chart
        .configure_mesh()
        .x_desc("load")
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .label_style((FONT, 14))
        .y_label_formatter(&|percent| format!("{percent} %"))
        .draw()?;
    for (policy, curve) in curves {
        let style = style(policy);
        chart
            .draw_series(LineSeries::new(curve, style).point_size(3))?
            .label(policy.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 14))
        .legend_area_size(32)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .draw()?;
    Ok(())
}

fn latencies(area: &Area<'_>, points: &[&Point], title: &str) -> Result<(), Box<dyn Error>> {
    let curves = curves(points, |point| {
        Some(point.tally.classes[0].latency(0.99)?.as_secs_f64())
    });
    let (most, least) = (highest(&curves), -highest_of(&curves, |seconds| -seconds));
    let range = if curves.is_empty() {
        1e-4..1.0
    } else {
        least * 0.7..most * 1.5
    };
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 18))
        .margin(14)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(loads(points), range.log_scale())?;
    chart
        .configure_mesh()
        .x_desc("load")
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .label_style((FONT, 14))
        .y_label_formatter(&|seconds| time(Duration::from_secs_f64(seconds.max(0.0))))
        .draw()?;
    for (policy, curve) in curves {
        chart.draw_series(LineSeries::new(curve, style(policy)).point_size(3))?;
    }
    Ok(())
}

fn curves(points: &[&Point], value: impl Fn(&Point) -> Option<f64>) -> Vec<Curve> {
    let curve = |policy| {
        let own = points.iter().filter(|point| point.policy == policy);
        own.filter_map(|point| Some((point.load, value(point)?)))
            .collect::<Vec<_>>()
    };
    PolicyKind::ALL
        .into_iter()
        .map(|policy| (policy, curve(policy)))
        .filter(|(_, curve)| !curve.is_empty())
        .collect()
}

fn loads(points: &[&Point]) -> std::ops::Range<f64> {
    let loads = || points.iter().map(|point| point.load);
    let (least, most) = (loads().fold(f64::MAX, f64::min), loads().fold(0.0, f64::max));
    if least < most {
        least..most
    } else {
        least - 0.1..most + 0.1
    }
}

fn highest(curves: &[Curve]) -> f64 {
    highest_of(curves, |value| value)
}

fn highest_of(curves: &[Curve], of: impl Fn(f64) -> f64) -> f64 {
    let values = curves.iter().flat_map(|(_, curve)| curve);
    values.map(|(_, value)| of(*value)).fold(f64::MIN, f64::max)
}

fn style(policy: PolicyKind) -> ShapeStyle {
    let index = PolicyKind::ALL.iter().position(|known| *known == policy);
    COLOURS[index.unwrap_or(0) % COLOURS.len()].stroke_width(2)
}
