package cli

import "testing"

func TestValidate(t *testing.T) {
	const base = `data_dir = "/d" bind_addr = "127.0.0.1" `
	good := write(t, "good.hcl", base)
	doubtful := write(t, "doubtful.hcl", base+`server = true bootstrap = true`)
	bad := write(t, "bad.json", `{"data_dir": 1}`)
	odd := write(t, "odd.conf", base)
	half := write(t, "half.hcl", `node_name = "n"`)
	for _, tc := range []struct {
		name string
		args []string
		want result
	}{
		{"valid", []string{good}, result{0, "Configuration is valid!\n", ""}},
		{"valid together", []string{half, good}, result{0, "Configuration is valid!\n", ""}},
		{"valid with a warning", []string{doubtful}, result{0, "Configuration is valid!\n", "bootstrap = true: do not enable unless necessary\n"}},
		{"quiet", []string{"-quiet", doubtful}, result{0, "", ""}},
		{"forced format", []string{"-config-format=hcl", odd}, result{0, "Configuration is valid!\n", ""}},
		{"nothing given", nil, result{1, "", "Must specify at least one config file or directory\n"}},
		{"incomplete", []string{half}, result{1, "", "Config validation failed: data_dir cannot be empty\n"}},
		{"wrong type", []string{bad}, result{1, "", "Config validation failed: failed to parse " + bad + ": 1 error(s) decoding:\n\n" +
			"* 'data_dir' expected type 'string', got unconvertible type 'float64', value: '1'\n"}},
		{"wrong and quiet", []string{"-quiet", half}, result{1, "", "Config validation failed: data_dir cannot be empty\n"}},
		{"missing", []string{"/nope"}, result{1, "", "Config validation failed: config: Open failed on /nope. open /nope: no such file or directory\n"}},
		{"unknown extension", []string{odd}, result{1, "", "Config validation failed: file " + odd + " has unknown extension; must be .hcl or .json, or config format must be set\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := (world{}).run(t, append([]string{"validate"}, tc.args...)...); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
