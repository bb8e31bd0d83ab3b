package reload_test

// count is the value of a counter or gauge, or how many times a histogram was observed, over the series that have
// the labels.
func (r *run) count(name string, labels ...string) float64 {
	r.Helper()

	families, err := r.registry.Gather()
	r.must(err)

	want, total := annotations(labels...), 0.0

	for _, f := range families {
		for _, m := range f.GetMetric() {
			matched := 0

			for _, l := range m.GetLabel() {
				if v, asked := want[l.GetName()]; asked && v == l.GetValue() {
					matched++
				}
			}

			if f.GetName() == name && matched == len(want) {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}

	return total
}
