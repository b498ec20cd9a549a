//! The chart: time relative to native code, for each kernel and each engine, as SVG.
//!
//! ```text
//!   scalar   20 ┤ ■ interp  ■ baseline ...
//!            10 ┤
//!             5 ┤  ▌      ▌
//!             2 ┤  ▌▐     ▌▐
//!   native    1 ┼──────────────────────────────────
//!                 gemm   lu   ...  geometric mean        one panel for each build
//! ```
//!
//! The axis is logarithmic and bars begin at 1, native code's time, so that twice as slow and twice as fast are equally long. Colours
//! are those of M. Okabe and K. Ito ("Color universal design", 2008), which people with any colour vision tell apart.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Report;
use crate::contender::Build;

const WIDTH: u32 = 1400;
const PANEL_HEIGHT: u32 = 400;
const FONT: &str = "Helvetica, Arial, sans-serif";

/// Room around the bars of a panel, in pixels.
const LEFT: i32 = 70;
const RIGHT: i32 = 20;
const TOP: i32 = 64;
const BOTTOM: i32 = 104;

const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(222, 222, 222);

/// Colours of engines; those beyond take them again, a shade lighter.
const PALETTE: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(0, 0, 0),
    RGBColor(240, 228, 66),
];

/// Greys of native builds, which are no engines.
const NATIVE: [RGBColor; 2] = [RGBColor(185, 185, 185), RGBColor(120, 120, 120)];

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// Nothing ran that could be drawn.
    #[error(
        "there is nothing to draw: the chart shows times relative to native code, which needs a C compiler and another engine"
    )]
    Empty,
    /// The file cannot be written.
    #[error("cannot draw {path}: {why}")]
    Write {
        /// The file.
        path: String,
        /// The reason.
        why: String,
    },
}

/// A panel: a build of the kernels.
struct Panel<'r> {
    title: &'static str,
    /// Names and colours of the engines. A `*` says that the mean is over fewer kernels.
    series: Vec<(String, RGBAColor)>,
    /// A label and a ratio per engine.
    groups: Vec<(&'r str, Vec<Option<f64>>)>,
}

/// Draws the report into a file.
///
/// # Errors
/// [`ChartError::Empty`] where there are no ratios to native code, [`ChartError::Write`].
pub fn draw(report: &Report, path: &Path) -> Result<(), ChartError> {
    let panels = panels(report);
    if panels.is_empty() {
        return Err(ChartError::Empty);
    }
    let height = PANEL_HEIGHT * u32::try_from(panels.len()).unwrap_or(1) + 40;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    draw_panels(report, &panels, &area)
        .and_then(|()| area.present().map_err(|error| error.to_string()))
        .map_err(|why| ChartError::Write {
            path: path.display().to_string(),
            why,
        })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_panels(report: &Report, panels: &[Panel<'_>], area: &Area<'_>) -> Result<(), String> {
    let text = |error: DrawingAreaErrorKind<_>| -> String { format!("{error:?}") };
    area.fill(&WHITE).map_err(text)?;
    let (range, ticks) = axis(panels);
    for (number, panel) in panels.iter().enumerate() {
        let top = PANEL_HEIGHT as usize * number;
        let [top, bottom] = [top, top + PANEL_HEIGHT as usize].map(|y| i32::try_from(y).unwrap_or(i32::MAX));
        let frame = Frame {
            top: top + TOP,
            bottom: bottom - BOTTOM,
            range,
        };
        frame.draw(panel, &ticks, top, area).map_err(text)?;
    }
    let footer = format!(
        "PolyBench kernels, size {}; CPU time, median of {} paired rounds; luge {}{}; {}{}{}",
        report.size,
        report.rounds,
        report.version,
        report
            .commit
            .as_ref()
            .map_or_else(String::new, |commit| format!(" ({commit})")),
        report.machine.processor,
        report
            .compiler
            .as_ref()
            .map_or_else(String::new, |compiler| format!(
                "; native code by {}",
                compiler.version
            )),
        if report.is_incomplete() {
            "; *: mean over fewer kernels"
        } else {
            ""
        }
    );
    let bottom = i32::try_from(area.dim_in_pixel().1).unwrap_or(i32::MAX);
    label(
        area,
        &footer,
        (LEFT, bottom - 14),
        style(13, HPos::Left, VPos::Bottom),
    )
    .map_err(text)
}

fn panels(report: &Report) -> Vec<Panel<'_>> {
    let Some(reference) = report.reference() else {
        return Vec::new();
    };
    // One colour per name, so that an engine looks the same in both panels.
    let mut names: Vec<&str> = Vec::new();
    for engine in report.engines.iter().filter(|engine| engine.build.is_some()) {
        if !names.contains(&engine.name.as_str()) {
            names.push(&engine.name);
        }
    }
    let natives: Vec<_> = report
        .native_columns()
        .filter(|&column| column != reference)
        .collect();
    let colour_of = |column: usize| {
        let name = report.engines[column].name.as_str();
        match natives.iter().position(|&native| native == column) {
            Some(number) => NATIVE[number % NATIVE.len()].mix(1.0),
            None => colour(names.iter().position(|other| *other == name).unwrap_or(0)),
        }
    };
    let panel = |build: Build| {
        report.columns_of(build).next()?;
        let columns: Vec<_> = natives.iter().copied().chain(report.columns_of(build)).collect();
        let mut groups: Vec<_> = report
            .kernels
            .iter()
            .map(|kernel| {
                let ratio = |&column| Some(report.ratio(kernel, column, reference)?.median);
                (kernel.kernel.name, columns.iter().map(ratio).collect::<Vec<_>>())
            })
            .collect();
        let means = columns
            .iter()
            .map(|&column| Some(report.mean(column, reference)?.ratio));
        groups.push(("geometric mean", means.collect()));
        let series = columns.iter().map(|&column| {
            let mean = report.mean(column, reference);
            let fewer = mean.is_none_or(|mean| mean.kernels < report.kernels.len());
            let mark = if fewer { "*" } else { "" };
            (
                format!("{}{mark}", report.engines[column].name),
                colour_of(column),
            )
        });
        Some(Panel {
            title: match build {
                Build::Scalar => "WebAssembly without vectors",
                Build::Simd => "WebAssembly with 128-bit vectors",
            },
            series: series.collect(),
            groups,
        })
    };
    let mut panels: Vec<_> = Build::ALL.into_iter().filter_map(panel).collect();
    panels.retain(|panel| {
        panel
            .groups
            .iter()
            .any(|(_, ratios)| ratios.iter().any(Option::is_some))
    });
    panels
}

/// The common range of all panels and the marked values in it: 1, 2, 5, 10, ...
fn axis(panels: &[Panel<'_>]) -> ((f64, f64), Vec<f64>) {
    let ratios = panels.iter().flat_map(|panel| {
        panel
            .groups
            .iter()
            .flat_map(|(_, ratios)| ratios.iter().flatten())
    });
    let (mut low, mut high) = (0.5_f64, 2.0_f64);
    for &ratio in ratios {
        low = low.min(ratio / 1.1);
        high = high.max(ratio * 1.1);
    }
    let ticks = (-3..=4).flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(exponent)));
    (
        (low, high),
        ticks.filter(|tick| (low..=high).contains(tick)).collect(),
    )
}

/// Where the bars of a panel are.
struct Frame {
    top: i32,
    bottom: i32,
    range: (f64, f64),
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

impl Frame {
    fn draw<'a>(&self, panel: &Panel<'_>, ticks: &[f64], top: i32, area: &Area<'a>) -> Drawn<'a> {
        let right = i32::try_from(WIDTH).unwrap_or(i32::MAX) - RIGHT;
        label(
            area,
            panel.title,
            (LEFT, top + 14),
            style(18, HPos::Left, VPos::Top),
        )?;
        for &tick in ticks {
            let y = self.y(tick);
            let colour = if tick == 1.0 { INK } else { GRID };
            area.draw(&PathElement::new([(LEFT, y), (right, y)], colour))?;
            label(
                area,
                &tick.to_string(),
                (LEFT - 8, y),
                style(14, HPos::Right, VPos::Center),
            )?;
        }
        let middle = (self.top + self.bottom) / 2;
        let axis = style(15, HPos::Center, VPos::Center).transform(FontTransform::Rotate270);
        label(area, "time / native -O3", (22, middle), axis)?;
        self.legend(panel, top, area)?;
        let slot = f64::from(right - LEFT) / panel.groups.len() as f64;
        for (group, (name, ratios)) in panel.groups.iter().enumerate() {
            let begin = f64::from(LEFT) + slot * group as f64;
            self.bars(panel, ratios, begin, slot, area)?;
            let centre = pixel(begin + slot / 2.0);
            let turned = style(14, HPos::Right, VPos::Center).transform(FontTransform::Rotate270);
            label(area, name, (centre, self.bottom + 8), turned)?;
        }
        // Native code's time, over the bars that begin there; and what sets the mean apart.
        let [one, last] = [self.y(1.0), pixel(f64::from(right) - slot)];
        area.draw(&PathElement::new([(LEFT, one), (right, one)], INK))?;
        area.draw(&PathElement::new([(last, self.top), (last, self.bottom)], GRID))
    }

    fn bars<'a>(
        &self,
        panel: &Panel<'_>,
        ratios: &[Option<f64>],
        begin: f64,
        slot: f64,
        area: &Area<'a>,
    ) -> Drawn<'a> {
        let width = slot * 0.82 / ratios.len() as f64;
        for (bar, (ratio, (_, colour))) in ratios.iter().zip(&panel.series).enumerate() {
            let Some(ratio) = ratio else {
                continue;
            };
            let x = begin + slot * 0.09 + width * bar as f64;
            let corners = [(pixel(x), self.y(1.0)), (pixel(x + width), self.y(*ratio))];
            area.draw(&Rectangle::new(corners, colour.filled()))?;
        }
        Ok(())
    }

    /// Squares with names in a line above the bars.
    fn legend<'a>(&self, panel: &Panel<'_>, top: i32, area: &Area<'a>) -> Drawn<'a> {
        let mut x = LEFT;
        for (name, colour) in &panel.series {
            let square = [(x, top + 40), (x + 12, top + 52)];
            area.draw(&Rectangle::new(square, colour.filled()))?;
            label(
                area,
                name,
                (x + 17, top + 46),
                style(14, HPos::Left, VPos::Center),
            )?;
            // Widths of letters are the viewer's: half an em is about that of these fonts.
            x += 17 + 7 * i32::try_from(name.len()).unwrap_or(0) + 22;
        }
        Ok(())
    }

    fn y(&self, ratio: f64) -> i32 {
        let (low, high) = self.range;
        let share = (ratio / low).ln() / (high / low).ln();
        pixel(f64::from(self.bottom) - share * f64::from(self.bottom - self.top))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "positions lie on the chart")]
fn pixel(position: f64) -> i32 {
    position.round() as i32
}

fn colour(number: usize) -> RGBAColor {
    let shade = if number < PALETTE.len() { 1.0 } else { 0.55 };
    PALETTE[number % PALETTE.len()].mix(shade)
}

fn style(size: i32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    TextStyle::from((FONT, size).into_font())
        .color(&INK)
        .pos(Pos::new(horizontal, vertical))
}

fn label<'a>(area: &Area<'a>, text: &str, position: (i32, i32), style: TextStyle<'_>) -> Drawn<'a> {
    area.draw_text(text, &style, position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{Compiler, Family};
    use crate::report::tests::sample;

    #[test]
    fn bars_begin_at_native_and_grow_with_the_ratio() {
        let frame = Frame {
            top: 0,
            bottom: 400,
            range: (0.1, 10.0),
        };
        assert_eq!([0.1, 1.0, 10.0].map(|ratio| frame.y(ratio)), [400, 200, 0]);
    }

    #[test]
    fn the_axis_holds_all_bars_and_marks_native() {
        let report = sample();
        let ((low, high), ticks) = axis(&panels(&report));
        assert!(low <= 0.5 && high > 16.0, "{low} {high}");
        assert!(ticks.contains(&1.0) && ticks.contains(&10.0) && !ticks.contains(&0.1));
    }

    #[test]
    fn the_chart_names_kernels_and_engines() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("chart.svg");
        let report = sample();
        draw(&report, &path).expect("a chart");
        let svg = std::fs::read_to_string(&path).expect("a file");
        for text in [
            "gemm",
            "geometric mean",
            "baseline-software",
            "with 128-bit vectors",
            "time / native -O3",
        ] {
            assert!(svg.contains(text), "no {text}");
        }
        // 2 kernels and a mean, 3 engines and then 1, which did not take one kernel; a square each; and the background.
        let bars = 3 * 3 + 2;
        assert_eq!(svg.matches("<rect").count(), bars + 4 + 1);
    }

    #[test]
    fn an_engine_that_did_not_run_all_is_marked_and_text_is_escaped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("chart.svg");
        let mut report = sample();
        report.machine.processor = "<A> & \"B\"".to_owned();
        report.compiler = Some(Compiler {
            path: "/cc".into(),
            family: Family::Clang,
            version: "clang <19>".to_owned(),
        });
        draw(&report, &path).expect("a chart");
        let svg = std::fs::read_to_string(&path).expect("a file");
        assert!(svg.contains("&lt;A&gt; &amp; ") && !svg.contains("<A>"));
        assert!(svg.contains("native code by clang &lt;19&gt;"));
        assert_eq!(svg.matches("baseline*").count(), 1);
        assert!(svg.contains("*: mean over fewer kernels"));
    }

    #[test]
    fn a_chart_that_cannot_be_written_is_an_error() {
        let error = draw(&sample(), Path::new("/nonexistent/chart.svg")).expect_err("no folder");
        assert!(matches!(error, ChartError::Write { .. }), "{error}");
    }

    #[test]
    fn without_native_code_there_is_no_chart() {
        let mut report = sample();
        report.engines[0].name = "other".to_owned();
        let error = draw(&report, Path::new("unused.svg")).expect_err("no reference");
        assert!(matches!(error, ChartError::Empty));
    }
}
