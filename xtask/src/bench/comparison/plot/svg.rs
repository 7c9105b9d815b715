//! What of SVG 1.1 the plot needs, written as text.

use std::fmt::Write;

/// A drawing, coordinates in pixels from its upper left corner.
#[derive(Default)]
pub struct Svg {
    body: String,
}

/// Where a text's point is.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// At its left end.
    Start,
    /// In its middle.
    Middle,
    /// At its right end.
    End,
}

impl Svg {
    /// A text on one line; `class` is for the style sheet, as everywhere below.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        ));
    }

    /// A filled rectangle.
    pub fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
        self.put(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\"/>"
        ));
    }

    /// A line from point to point.
    pub fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(format_args!("<polyline points=\"{}\" class=\"{class}\"/>", points.join(" ")));
    }

    /// A filled circle.
    pub fn dot(&mut self, (x, y): (f64, f64), radius: f64, class: &str) {
        self.put(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" class=\"{class}\"/>"));
    }

    /// Puts another drawing over this one.
    pub fn append(&mut self, other: Svg) {
        self.body += &other.body;
    }

    /// The whole file.
    pub fn finish(self, (width, height): (f64, f64), title: &str, style: &str) -> String {
        let title = escaped(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\">\n<title>{title}</title>\n<style>\n{style}</style>\n{}</svg>\n",
            self.body
        )
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_elements() {
        let mut svg = Svg::default();
        svg.text((1.0, 2.25), Anchor::End, "label", "a < b & c");
        svg.dot((3.0, 4.0), 2.5, "ours");
        let file = svg.finish((10.0, 20.0), "<title>", "text { fill: red }\n");
        assert_eq!(
            file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 10 20\" width=\"10\" height=\"20\" role=\"img\">\n\
             <title>&lt;title&gt;</title>\n<style>\ntext { fill: red }\n</style>\n\
             <text x=\"1.0\" y=\"2.2\" text-anchor=\"end\" class=\"label\">a &lt; b &amp; c</text>\n\
             <circle cx=\"3.0\" cy=\"4.0\" r=\"2.5\" class=\"ours\"/>\n</svg>\n"
        );
    }
}
