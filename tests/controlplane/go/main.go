// One binary for the control plane: the name that it is called by, or else its first
// argument, says which component it is. The components share most of their code, so
// that one link is faster and smaller than two.
package main

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"

	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
}

func component() (func() *cobra.Command, bool) {
	if command, ok := components[filepath.Base(os.Args[0])]; ok {
		return command, true
	}
	if len(os.Args) < 2 {
		return nil, false
	}
	command, ok := components[os.Args[1]]
	os.Args = os.Args[1:]
	return command, ok
}

func main() {
	command, ok := component()
	if !ok {
		fmt.Fprintln(os.Stderr, "call this as kube-apiserver or kube-controller-manager")
		os.Exit(2)
	}
	rand.Seed(time.Now().UnixNano())
	logs.InitLogs()
	defer logs.FlushLogs()
	if err := command().Execute(); err != nil {
		logs.FlushLogs()
		os.Exit(1)
	}
}
