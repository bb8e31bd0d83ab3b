package httpconfig

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// series is a metric, and the labels that those of its series must have which count.
type series struct {
	name   string
	labels []*dto.LabelPair
}

// readSeries reads a series as it is written in Prometheus' text format: up{job="shop"}.
func readSeries(text string) (series, error) {
	if strings.ContainsAny(text, "\r\n") {
		return series{}, fmt.Errorf("%q is not a metric", text)
	}
	all, err := samples(text + " 0\n")
	if err != nil || len(all) != 1 || len(all[0].metric.GetLabel()) > 0 && !strings.HasSuffix(strings.TrimSpace(text), "}") {
		return series{}, fmt.Errorf("%q is not a metric such as prometheus_config_last_reload_successful", text)
	}

	return series{all[0].name, all[0].metric.GetLabel()}, nil
}

// errNoSeries says that an answer has none of the series.
var errNoSeries = errors.New("there is no such series")

// values are those of the series in an answer. Other metrics are not looked at, and may be broken.
func (s series) values(answer string) ([]float64, error) {
	var lines strings.Builder
	for line := range strings.Lines(answer) {
		rest, ok := strings.CutPrefix(line, s.name)
		if ok && strings.TrimLeft(rest, " \t{") != rest {
			lines.WriteString(strings.TrimRight(line, "\r\n") + "\n")
		}
	}
	all, err := samples(lines.String())
	if err != nil {
		return nil, err
	}
	var values []float64
	for _, sample := range all {
		if s.counts(sample.metric) {
			values = append(values, sample.metric.GetUntyped().GetValue())
		}
	}
	if len(values) == 0 {
		return nil, errNoSeries
	}

	return values, nil
}

// counts says whether a metric has the labels.
func (s series) counts(m *dto.Metric) bool {
	has := map[string]string{}
	for _, l := range m.GetLabel() {
		has[l.GetName()] = l.GetValue()
	}
	for _, l := range s.labels {
		if value, ok := has[l.GetName()]; !ok || value != l.GetValue() {
			return false
		}
	}

	return true
}

type sample struct {
	name   string
	metric *dto.Metric
}

// samples reads lines without a type, so that each is a sample of its own.
func samples(lines string) ([]sample, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(lines))
	if err != nil {
		return nil, errors.New("it is not Prometheus' text format") // the parser repeats what it read
	}
	var all []sample
	for name, family := range families {
		for _, m := range family.GetMetric() {
			all = append(all, sample{name, m})
		}
	}

	return all, nil
}

// number is how a value is written.
func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
