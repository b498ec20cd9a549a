/*
 * Follows a vehicle through the fixes of a GPS receiver: state and fixes in, estimates and state out.
 *
 * The function keeps nothing between two requests. A tracker stores the state that it was answered and sends it back with the next
 * fixes; numbers are printed with 17 digits, so that a track in many requests gives the same estimates, to the last bit, as the
 * same track in one. The body is text, a record a line, described in functions/README.md:
 *
 *      in:   origin LAT LON                               out:  est T LAT LON SPEED COURSE SIGMA OUTCOME   per fix
 *            state T EAST NORTH VEAST VNORTH RATE COUNT         origin, state, cov as taken in
 *            cov 15 numbers
 *            fix T LAT LON SIGMA [SPEED COURSE]     per fix
 *
 * `origin`, `state` and `cov` stand together or not at all; without them the filter starts at the first fix. Lines that start
 * with `#` or `est` are passed over, so that an answer can be sent back as it is.
 */
#include "body.h"
#include "filter.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { BODY_BYTES_MAX = 1 << 20, FIELDS_MAX = 15 };

static const double RADIANS = 3.14159265358979323846 / 180.0;
static const double LATITUDE_MAX = 85.0;   /* degrees: nearer to a pole the plane's meridians run together */
static const double PLANE_RADIUS = 100e3;  /* metres from the origin for which the plane is good enough */
static const double SIGMA_MAX = 10e3;      /* metres */
static const double SPEED_MAX = 300.0;     /* m/s */
static const double TIME_MAX = 1e12;       /* seconds */

/* What one request works on. */
struct track {
	bool has_origin, has_state, has_cov, has_fix;
	double latitude, longitude;      /* of the origin, degrees */
	double east_metres, north_metres; /* per degree at the origin */
	struct filter filter;
};

static unsigned line_number;

/* Refuses the request because of the line that is being read. */
static _Noreturn void refuse_line(const char *format, ...)
{
	char message[160];
	int used = snprintf(message, sizeof message, "ekf: line %u: ", line_number);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message + used, sizeof message - (size_t)used, format, arguments);
	va_end(arguments);
	refuse(message);
}

/* Reads the numbers of a record into `fields` and returns how many there are. */
static int parse_fields(const char *text, double fields[FIELDS_MAX])
{
	int count = 0;

	for (;;) {
		char *end;
		text += strspn(text, " \t\r");
		if (*text == '\0')
			return count;
		if (count == FIELDS_MAX)
			refuse_line("more than %d numbers", FIELDS_MAX);
		double value = strtod(text, &end);
		if (end == text || strchr(" \t\r", *end) == NULL || !isfinite(value))
			refuse_line("field %d is no finite number", count + 1);
		fields[count++] = value;
		text = end;
	}
}

static void require_fields(const char *record, int got, int wanted)
{
	if (got != wanted)
		refuse_line("`%s` takes %d numbers, not %d", record, wanted, got);
}

static void require_range(const char *what, double value, double low, double high)
{
	if (!(value >= low && value <= high))
		refuse_line("%s is not from %g to %g", what, low, high);
}

/*
 * Lays the local plane at a point of the WGS 84 ellipsoid: metres per degree from its radii of curvature, along the meridian
 * and across it (NIMA TR8350.2, 2000: a and 1/f; the radii as in any textbook of geodesy).
 */
static void set_origin(struct track *track, double latitude, double longitude)
{
	const double a = 6378137.0, f = 1.0 / 298.257223563, e2 = f * (2.0 - f);
	double sine = sin(latitude * RADIANS);
	double w2 = 1.0 - e2 * sine * sine;

	require_range("the latitude", latitude, -LATITUDE_MAX, LATITUDE_MAX);
	require_range("the longitude", longitude, -180.0, 180.0);
	track->latitude = latitude;
	track->longitude = longitude;
	track->north_metres = a * (1.0 - e2) / (w2 * sqrt(w2)) * RADIANS;
	track->east_metres = a / sqrt(w2) * cos(latitude * RADIANS) * RADIANS;
	track->has_origin = true;
}

static void take_state(struct track *track, const double *fields)
{
	struct filter *filter = &track->filter;

	require_range("the time", fields[0], -TIME_MAX, TIME_MAX);
	require_range("the position east", fields[1], -2.0 * PLANE_RADIUS, 2.0 * PLANE_RADIUS);
	require_range("the position north", fields[2], -2.0 * PLANE_RADIUS, 2.0 * PLANE_RADIUS);
	require_range("the velocity east", fields[3], -10.0 * SPEED_MAX, 10.0 * SPEED_MAX);
	require_range("the velocity north", fields[4], -10.0 * SPEED_MAX, 10.0 * SPEED_MAX);
	require_range("the turn rate", fields[5], -100.0, 100.0);
	require_range("the count of rejections", fields[6], 0.0, 1000.0);
	filter->time = fields[0];
	memcpy(filter->x, fields + 1, sizeof filter->x);
	filter->rejections = (int)fields[6];
	track->has_state = true;
}

static void take_cov(struct track *track, const double *fields)
{
	for (int i = 0; i < STATES; i++)
		for (int j = i; j < STATES; j++)
			track->filter.P[i][j] = track->filter.P[j][i] = *fields++;
	for (int i = 0; i < STATES; i++)
		require_range("a variance of `cov`", track->filter.P[i][i], 0.0, 1e12);
	track->has_cov = true;
}

static void print_estimate(const struct track *track, enum outcome outcome)
{
	static const char *const names[] = { [STARTED] = "started", [USED] = "used", [REJECTED] = "rejected" };
	const struct filter *filter = &track->filter;
	double speed = hypot(filter->x[VELOCITY_EAST], filter->x[VELOCITY_NORTH]);
	double course = atan2(filter->x[VELOCITY_EAST], filter->x[VELOCITY_NORTH]) / RADIANS;

	printf("est %.3f %.8f %.8f %.3f %.2f %.3f %s\n", filter->time,
	       track->latitude + filter->x[NORTH] / track->north_metres,
	       track->longitude + filter->x[EAST] / track->east_metres, speed,
	       course < 0.0 ? course + 360.0 : course, sqrt(filter->P[EAST][EAST] + filter->P[NORTH][NORTH]), names[outcome]);
}

static void take_fix(struct track *track, const double *fields, bool has_velocity)
{
	bool known = track->has_origin;
	enum outcome outcome = STARTED;

	if (known != track->has_state || known != track->has_cov)
		refuse_line("`origin`, `state` and `cov` stand together or not at all");
	require_range("the time", fields[0], -TIME_MAX, TIME_MAX);
	require_range("the latitude", fields[1], -LATITUDE_MAX, LATITUDE_MAX);
	require_range("the longitude", fields[2], -180.0, 180.0);
	require_range("the sigma", fields[3], 0.01, SIGMA_MAX);
	if (has_velocity) {
		require_range("the speed", fields[4], 0.0, SPEED_MAX);
		require_range("the course", fields[5], -360.0, 360.0);
	}
	if (!known)
		set_origin(track, fields[1], fields[2]);

	struct fix fix = {
		.time = fields[0],
		.east = remainder(fields[2] - track->longitude, 360.0) * track->east_metres,
		.north = (fields[1] - track->latitude) * track->north_metres,
		.sigma = fields[3],
		.has_velocity = has_velocity,
		.velocity_east = has_velocity ? fields[4] * sin(fields[5] * RADIANS) : 0.0,
		.velocity_north = has_velocity ? fields[4] * cos(fields[5] * RADIANS) : 0.0,
	};
	if (hypot(fix.east, fix.north) > PLANE_RADIUS)
		refuse_line("the fix is more than %g km from the origin", PLANE_RADIUS / 1e3);
	if (known && fix.time < track->filter.time)
		refuse_line("the fix is older than the state");

	if (known)
		outcome = filter_advance(&track->filter, &fix);
	else
		filter_start(&track->filter, &fix);
	if (outcome == FAILED)
		refuse_line("`state` and `cov` are not those of a filter");
	track->has_state = track->has_cov = track->has_fix = true;
	print_estimate(track, outcome);
}

/* One record of the body; `line` is a string without its newline. */
static void take_line(struct track *track, const char *line)
{
	double fields[FIELDS_MAX];
	size_t length = strcspn(line, " \t\r");

	if (*line == '#' || (length == 3 && memcmp(line, "est", 3) == 0) || line[strspn(line, " \t\r")] == '\0')
		return;
	int count = parse_fields(line + length, fields);
	if (length == 3 && memcmp(line, "fix", 3) == 0) {
		require_fields("fix", count, count > 4 ? 6 : 4);
		take_fix(track, fields, count == 6);
		return;
	}
	if (track->has_fix)
		refuse_line("`origin`, `state` and `cov` stand before the first fix");
	if (length == 6 && memcmp(line, "origin", 6) == 0) {
		require_fields("origin", count, 2);
		set_origin(track, fields[0], fields[1]);
	} else if (length == 5 && memcmp(line, "state", 5) == 0) {
		require_fields("state", count, 1 + STATES + 1);
		take_state(track, fields);
	} else if (length == 3 && memcmp(line, "cov", 3) == 0) {
		require_fields("cov", count, STATES * (STATES + 1) / 2);
		take_cov(track, fields);
	} else {
		refuse_line("unknown record; known are origin, state, cov, fix");
	}
}

static void print_state(const struct track *track)
{
	const struct filter *filter = &track->filter;

	printf("origin %.17g %.17g\n", track->latitude, track->longitude);
	printf("state %.17g", filter->time);
	for (int i = 0; i < STATES; i++)
		printf(" %.17g", filter->x[i]);
	printf(" %d\ncov", filter->rejections);
	for (int i = 0; i < STATES; i++)
		for (int j = i; j < STATES; j++)
			printf(" %.17g", filter->P[i][j]);
	printf("\n");
}

int main(void)
{
	static char body[BODY_BYTES_MAX + 1];
	static struct track track;
	size_t size = read_up_to(body, sizeof body);

	if (size > BODY_BYTES_MAX)
		refuse("ekf: the body is larger than 1 MiB; send fewer fixes and the state");
	if (memchr(body, '\0', size) != NULL)
		refuse("ekf: the body is not text");
	body[size] = '\0';

	for (char *line = body; *line != '\0';) {
		char *end = strchrnul(line, '\n');
		bool last = *end == '\0';
		*end = '\0';
		line_number++;
		take_line(&track, line);
		line = last ? end : end + 1;
	}
	if (!track.has_fix)
		refuse("ekf: the body holds no `fix`");
	print_state(&track);
	return fflush(stdout) == 0 ? 0 : EXIT_BROKEN_PIPE;
}
