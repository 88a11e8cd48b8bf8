// Package finapi configures tokencache for finAPI.
package finapi
