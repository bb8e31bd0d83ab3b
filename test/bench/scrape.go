package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// series are the values of metrics, by name and labels as they are written in Prometheus' text format.
type series map[string]float64

// scrape reads an endpoint of metrics.
func scrape(ctx context.Context, by http.RoundTripper, url string) (series, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	response, err := by.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("read the metrics of %s: %w", url, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the metrics of %s: %s", url, response.Status)
	}
	return parseSeries(response.Body)
}

// parseSeries reads the text format. Timestamps, which nobody here writes, are no part of it.
func parseSeries(text io.Reader) (series, error) {
	found := series{}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		// A label's value may have blanks in it; the number is after the last.
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			return nil, fmt.Errorf("metrics: a line without a value: %q", line)
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		found[strings.TrimSpace(line[:at])] = value
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return found, nil
}

// of is the value of the one series with the name and the labels, in the order in which they are written; 0 when there is none.
func (s series) of(name string, labels ...string) float64 {
	return s[name+"{"+strings.Join(labels, ",")+"}"]
}

// label is one of a series' labels.
func label(name, value string) string { return fmt.Sprintf("%s=%q", name, value) }
