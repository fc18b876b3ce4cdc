// Reads objects of the Prometheus operator as its own types do, from a stream of YAML documents on standard input, and fails on a field they
// don't have. (The operator's schemas are in no package; its Go types are.) Other kinds are passed over.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"gopkg.in/yaml.v3"
	strict "sigs.k8s.io/yaml"
)

func main() {
	decoder := yaml.NewDecoder(os.Stdin)
	checked := 0
	for {
		var document map[string]any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		fail(err)
		if document["apiVersion"] != "monitoring.coreos.com/v1" {
			continue
		}
		text, err := yaml.Marshal(document)
		fail(err)
		endpoints := 0
		switch kind := document["kind"]; kind {
		case "ServiceMonitor":
			var monitor v1.ServiceMonitor
			fail(strict.UnmarshalStrict(bytes.TrimSpace(text), &monitor))
			endpoints = len(monitor.Spec.Endpoints)
		case "PodMonitor":
			var monitor v1.PodMonitor
			fail(strict.UnmarshalStrict(bytes.TrimSpace(text), &monitor))
			endpoints = len(monitor.Spec.PodMetricsEndpoints)
		default:
			fail(fmt.Errorf("kind %v is not known to this check", kind))
		}
		if endpoints == 0 {
			fail(errors.New("a monitor without endpoints scrapes nothing"))
		}
		checked++
	}
	fmt.Println(checked)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
