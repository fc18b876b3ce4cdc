//go:build tools

// Package tools pins the programs that ci/deploy builds: go.sum holds their hashes.
package tools

import (
	_ "github.com/compose-spec/compose-go/v2/cmd"
	_ "sigs.k8s.io/kustomize/kustomize/v5"
)
